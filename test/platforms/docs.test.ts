import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { faultText, parseForgeYaml } from '../../src/catalog/index.ts'
import { startGoogle } from './clouds.ts'

test('the configuration in the page on channels is taken as it stands', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operate/channels.md'), 'utf8')
  const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1] ?? '')
  assert.equal(blocks.length, 1)
  const { serviceAccount } = await startGoogle(t)
  const env = {
    AWS_ACCESS_KEY_ID: 'AKIATESTTESTTESTTEST',
    AWS_SECRET_ACCESS_KEY: 'secret',
    AWS_BEARER_TOKEN_BEDROCK: 'bedrock-api-key',
    GOOGLE_KEY: serviceAccount,
  }
  const parsed = parseForgeYaml(blocks[0] ?? '', env)
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.faults.map(faultText).join('\n'))
  assert.deepEqual(
    parsed.config.channels.map(({ name, baseUrl, platform }) => [name, baseUrl, platform?.kind ?? null]),
    [
      ['bedrock-claude', 'https://bedrock-runtime.us-east-1.amazonaws.com', 'bedrock'],
      ['bedrock-claude-eu', 'https://bedrock-runtime.eu-west-1.amazonaws.com', 'bedrock'],
      ['bedrock-openai', 'https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1', null],
      ['vertex-claude', 'https://aiplatform.googleapis.com/v1', 'vertex'],
      ['vertex-gemini', 'https://europe-west4-aiplatform.googleapis.com/v1', 'vertex'],
      [
        'vertex-openai',
        'https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/endpoints/openapi',
        'vertex',
      ],
    ],
  )
})
