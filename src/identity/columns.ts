/** The library's fields on our columns. Its models and fields are camel case; ours are snake case, in our own words. */

const snake = (name: string): string =>
  name.replace('credentialID', 'credentialId').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const columns = <Field extends string>(...fields: readonly Field[]) =>
  Object.fromEntries(fields.map((field) => [field, snake(field)])) as Record<Field, string>

export const USER = { modelName: 'person', fields: columns('emailVerified', 'createdAt', 'updatedAt') }

export const SESSION = {
  modelName: 'session',
  fields: {
    ...columns('userId', 'expiresAt', 'ipAddress', 'userAgent', 'createdAt', 'updatedAt'),
    token: 'token_sha256',
  },
}

export const ACCOUNT = {
  modelName: 'account',
  fields: columns(
    'userId',
    'accountId',
    'providerId',
    'accessToken',
    'refreshToken',
    'idToken',
    'accessTokenExpiresAt',
    'refreshTokenExpiresAt',
    'createdAt',
    'updatedAt',
  ),
}

export const VERIFICATION = {
  modelName: 'verification',
  fields: columns('expiresAt', 'createdAt', 'updatedAt'),
}

export const TWO_FACTOR = {
  user: { fields: columns('twoFactorEnabled') },
  twoFactor: {
    modelName: 'two_factor',
    fields: columns('userId', 'backupCodes', 'failedVerificationCount', 'lockedUntil'),
  },
}

export const PASSKEY = {
  passkey: {
    modelName: 'passkey',
    fields: columns('userId', 'publicKey', 'credentialID', 'deviceType', 'backedUp', 'createdAt'),
  },
}
