export type { RecordedRequest, SandboxRecorder } from './recorder.ts'
export { type Sandbox, type SandboxOptions, startSandbox } from './server.ts'
