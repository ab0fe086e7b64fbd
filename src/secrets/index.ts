export { createKeyring, type Keyring, SealBroken } from './keyring.ts'
export { PURPOSES, type Purpose } from './purposes.ts'
