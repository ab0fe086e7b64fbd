export * from './json-span.ts'
export type { ChatRequest, ChatStreamState, ReadUsage, UsageFlag } from './openai-chat/index.ts'
export * as openaiChat from './openai-chat/index.ts'
