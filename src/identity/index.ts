export { createIdentity } from './identity.ts'
export {
  OPERATOR_ROLES,
  type Operator,
  type OperatorBook,
  type OperatorChanged,
  type OperatorRole,
} from './operators.ts'
export { isReading, isSameOrigin, originsOf } from './origin.ts'
export {
  type EventActor,
  type Identity,
  type IdentityEvent,
  type IdentityOptions,
  type OidcSettings,
  type Person,
  SIGN_UP_MODES,
  type SignUpMode,
} from './types.ts'
