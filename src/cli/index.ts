export { type CliIo, type CliOptions, runCli } from './cli.ts'
export {
  type Action,
  type Actions,
  type CliSettings,
  type Flags,
  type Language,
  type Outcome,
  SetupError,
  UsageError,
} from './command.ts'
export { EXIT } from './exit-code.ts'
