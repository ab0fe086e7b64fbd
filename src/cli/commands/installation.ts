import type { ParseArgsOptionsConfig } from 'node:util'
import type { Action, Actions, Command, Invocation } from '../command.ts'

/** Commands about this installation itself: they are done by the composition root, not through the server. */

const NAMES = [
  'host',
  'port',
  'config',
  'data-dir',
  'database-url',
  'redis-url',
  'operator-token',
  'master-key',
  'replace-master-key',
  'smtp-url',
  'mail-from',
  'public-url',
  'sign-up',
  'oidc-issuer',
  'oidc-client-id',
  'oidc-client-secret',
  'trusted-proxies',
  'webhook-private-targets',
  'processes',
  'log-level',
] as const
const OPTIONS: ParseArgsOptionsConfig = Object.fromEntries(
  NAMES.map((name) => [name, { type: 'string' as const }]),
)

const EXPLAIN = {
  host: 'address to listen on (127.0.0.1; FORGE_HOST)',
  port: 'port to listen on (8700; FORGE_PORT)',
  config: 'path of forge.yaml (FORGE_CONFIG)',
  'data-dir': 'where the embedded database and secrets are (./data; FORGE_DATA_DIR)',
  'database-url': 'a PostgreSQL of your own (DATABASE_URL)',
  'redis-url': 'for shared rate limits (REDIS_URL)',
  'operator-token': 'else one is made and kept in the data directory (FORGE_OPERATOR_TOKEN)',
  'master-key': 'encrypts stored secrets (FORGE_MASTER_KEY)',
  'replace-master-key': 'true, once: the one before is lost (FORGE_REPLACE_MASTER_KEY)',
  'smtp-url': 'mail server for invitations and alerts (FORGE_SMTP_URL)',
  'mail-from': 'who mail comes from (FORGE_MAIL_FROM)',
  'public-url': 'where people reach the console (FORGE_PUBLIC_URL)',
  'sign-up': 'who may make an account: invited, oidc or open (invited; FORGE_SIGN_UP)',
  'oidc-issuer': 'OpenID Connect provider that people sign in with (FORGE_OIDC_ISSUER)',
  'oidc-client-id': 'as it was registered with the provider (FORGE_OIDC_CLIENT_ID)',
  'oidc-client-secret': 'as it was given by the provider (FORGE_OIDC_CLIENT_SECRET)',
  'trusted-proxies':
    'networks whose x-forwarded-for is believed, separated by commas (FORGE_TRUSTED_PROXIES)',
  'webhook-private-targets':
    'true: webhooks may go to loopback and private networks (FORGE_WEBHOOK_PRIVATE_TARGETS)',
  processes: 'gateway processes on one port (FORGE_PROCESSES)',
  'log-level': 'fatal, error, warn, info, debug, trace or silent (FORGE_LOG_LEVEL)',
} satisfies Record<(typeof NAMES)[number], string>

function delegated(
  words: readonly string[],
  action: keyof Actions,
  summary: string,
  example: string,
): Command {
  return {
    words,
    summary,
    args: [],
    options: OPTIONS,
    explain: EXPLAIN,
    example,
    run: ({ actions, flags }: Invocation) => {
      const run: Action = actions[action]
      return run(flags)
    },
  }
}

const version: Command = {
  words: ['version'],
  summary: 'Shows the version',
  args: [],
  options: {},
  explain: {},
  example: 'forge version',
  run: async ({ settings }) => ({
    value: { version: settings.version, node: process.versions.node },
    text: `tokens-forge ${settings.version} on Node ${process.versions.node}`,
  }),
}

export const INSTALLATION_COMMANDS: readonly Command[] = [
  delegated(['start'], 'start', 'Starts the gateway and everything it needs', 'forge start --port 8700'),
  delegated(['migrate'], 'migrate', 'Brings the database to the schema of this version', 'forge migrate'),
  delegated(
    ['config', 'check'],
    'configCheck',
    'Checks forge.yaml and the settings; exits 3 with every fault',
    'forge config check --config forge.yaml',
  ),
  delegated(['doctor'], 'doctor', 'Looks at everything that must be in order', 'forge doctor'),
  version,
]
