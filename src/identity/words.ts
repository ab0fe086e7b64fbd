import type { Language } from './page.ts'

/** What the pages of sign-in say. What stands before a name or a time ends as its language wants. */

const EN = {
  signIn: 'Sign in',
  email: 'E-mail address',
  name: 'Name',
  password: 'Password',
  newPassword: 'New password (at least 12 characters)',
  choosePassword: 'Choose a password (at least 12 characters)',
  forgotten: 'Forgotten your password?',
  provider: 'Sign in with your organization’s provider',
  toProvider: 'On to the provider',
  toProviderText: 'You are being led to the provider that signs you in.',
  goOn: 'Go on',
  moment: 'One moment',
  second: 'Second step',
  secondText: 'The password was right. This account asks for one more thing.',
  code: 'Code of your authenticator app (6 digits)',
  recovery: 'Or one of your recovery codes',
  recoveryCode: 'Recovery code',
  confirm: 'Confirm',
  useRecovery: 'Use the recovery code',
  again: 'Start again',
  reset: 'Forgotten password',
  resetText:
    'Tell us your address. If there is an account under it, you get a mail with a link that is good for an hour.',
  resetSend: 'Send the mail',
  resetSent:
    'If there is an account under this address, a mail is on its way. Its link works once, within an hour.',
  resetNoMail:
    'This installation sends no mail, so a password cannot be replaced this way. Ask whoever operates it, or sign in another way.',
  setPassword: 'Choose your password',
  setPasswordText: 'It replaces the one before, and ends all sessions of this account.',
  save: 'Save',
  passwordSet: 'The password is set. You can sign in with it now.',
  account: 'Your account',
  operatorRole: 'You operate this installation as ',
  belongs: 'Where you belong',
  belongsNowhere: 'You belong to no organization yet. Whoever runs one can invite you.',
  joined: 'You have joined',
  memberAlready: 'You belonged to this organization already.',
  as: 'as ',
  next: 'What next',
  nextText: 'Everything that your role allows is in the API, under this sign-in or with an API key.',
  nextMe: 'what you may do',
  nextApi: 'the reference of the API (OpenAPI)',
  sessions: 'Where you are signed in',
  thisSession: 'this one',
  since: 'since ',
  from: 'from',
  end: 'End',
  endSession: 'End the session',
  endOthers: 'End all others',
  signOut: 'Sign out',
  join: 'Join',
  invites: 'invites you to join',
  operatorInvites: 'An operator of this installation invites you to join',
  asRole: 'Your role there: ',
  until: 'The invitation is good until ',
  create: 'Make an account',
  createAndJoin: 'Make the account and join',
  haveAccount: 'There is an account under this address. Sign in with it, then join.',
  signedInAs: 'You are signed in as ',
  otherAddress: 'The invitation is for another address: ',
  otherAddressText: 'Sign out, and go on here under that address.',
  noInvitation: 'No invitation',
  noInvitationText:
    'This invitation was accepted, was withdrawn, is too old, or never was one. Ask whoever invited you for a new one.',
  back: 'Back',
  signUp: 'Make an account',
  signUpText: 'You get a mail with a link under which you choose your password.',
  signUpSent: 'A mail is on its way to this address. Its link works once, within an hour.',
}

export type Words = typeof EN

const ZH: Words = {
  signIn: '登录',
  email: '邮箱地址',
  name: '姓名',
  password: '密码',
  newPassword: '新密码（至少 12 个字符）',
  choosePassword: '设置密码（至少 12 个字符）',
  forgotten: '忘记密码？',
  provider: '使用所在机构的统一登录',
  toProvider: '前往统一登录',
  toProviderText: '正在前往为您验证身份的登录服务。',
  goOn: '继续',
  moment: '请稍候',
  second: '第二步验证',
  secondText: '密码正确。此账户还需要一步验证。',
  code: '验证器应用中的 6 位验证码',
  recovery: '或使用一个恢复码',
  recoveryCode: '恢复码',
  confirm: '确认',
  useRecovery: '使用恢复码',
  again: '重新登录',
  reset: '忘记密码',
  resetText: '请输入邮箱地址。如果该邮箱已有账户，您会收到一封邮件，其中的链接一小时内有效。',
  resetSend: '发送邮件',
  resetSent: '如果该邮箱已有账户，邮件正在发送。链接仅可使用一次，一小时内有效。',
  resetNoMail: '此系统未配置邮件，无法通过邮件重设密码。请联系系统管理员，或使用其他方式登录。',
  setPassword: '设置密码',
  setPasswordText: '新密码将替换旧密码，并结束此账户的所有会话。',
  save: '保存',
  passwordSet: '密码已设置，现在可以登录。',
  account: '我的账户',
  operatorRole: '您在此系统的管理角色：',
  belongs: '所属组织',
  belongsNowhere: '您尚未加入任何组织，可请组织的管理者邀请您。',
  joined: '您已加入',
  memberAlready: '您此前已加入该组织。',
  as: '角色：',
  next: '接下来',
  nextText: '您的角色所允许的操作都可以通过 API 完成：使用当前登录，或使用 API 密钥。',
  nextMe: '查看我的权限',
  nextApi: 'API 参考（OpenAPI）',
  sessions: '登录会话',
  thisSession: '当前会话',
  since: '登录时间：',
  from: '来自',
  end: '结束',
  endSession: '结束会话',
  endOthers: '结束其他所有会话',
  signOut: '退出登录',
  join: '加入',
  invites: '邀请您加入',
  operatorInvites: '系统管理员邀请您加入',
  asRole: '您的角色：',
  until: '邀请有效期至 ',
  create: '创建账户',
  createAndJoin: '创建账户并加入',
  haveAccount: '该邮箱已有账户。请先登录，再加入。',
  signedInAs: '当前登录账户：',
  otherAddress: '此邀请发给另一个邮箱：',
  otherAddressText: '请先退出登录，然后在此以该邮箱继续。',
  noInvitation: '邀请无效',
  noInvitationText: '此邀请已被接受、已撤回、已过期或不存在。请让邀请人重新发送。',
  back: '返回',
  signUp: '创建账户',
  signUpText: '您会收到一封邮件，通过其中的链接设置密码。',
  signUpSent: '邮件正在发送到该邮箱。链接仅可使用一次，一小时内有效。',
}

export const wordsIn = (language: Language): Words => (language === 'zh' ? ZH : EN)

type Sentence = readonly [en: string, zh: string]

/** By the codes of the library, of ours, and those that a provider's round trip ends with. */
const REFUSALS: Readonly<Record<string, Sentence>> = {
  INVALID_EMAIL_OR_PASSWORD: ['The address or the password is wrong.', '邮箱或密码错误。'],
  INVALID_EMAIL: ['This is no e-mail address.', '邮箱地址格式不正确。'],
  EMAIL_NOT_VERIFIED: [
    'This address is not confirmed yet. Open the link in the mail, or ask for a new one under “forgotten password”.',
    '该邮箱尚未确认。请打开邮件中的链接，或通过“忘记密码”重新获取。',
  ],
  PASSWORD_TOO_SHORT: ['A password has at least 12 characters.', '密码至少需要 12 个字符。'],
  PASSWORD_TOO_LONG: ['A password has at most 128 characters.', '密码最多 128 个字符。'],
  NAME_MISSING: ['A name is needed.', '请填写姓名。'],
  INVALID_TOKEN: [
    'This link was used, or is too old. Ask for a new one.',
    '此链接已被使用或已过期，请重新获取。',
  ],
  INVALID_CODE: ['The code is wrong, or was used already.', '验证码错误或已被使用。'],
  INVALID_BACKUP_CODE: ['The recovery code is wrong, or was used already.', '恢复码错误或已被使用。'],
  TOO_MANY_ATTEMPTS_REQUEST_NEW_CODE: ['Too many wrong codes. Start again.', '错误次数过多，请重新登录。'],
  ACCOUNT_TEMPORARILY_LOCKED: [
    'Too many wrong codes. The second step is locked for a quarter of an hour.',
    '错误次数过多，第二步验证已锁定 15 分钟。',
  ],
  INVALID_TWO_FACTOR_COOKIE: ['The sign-in took too long. Start again.', '登录超时，请重新登录。'],
  PASSWORD_LENGTH: ['A password has 12 to 128 characters.', '密码需为 12 至 128 个字符。'],
  FIELDS_MISSING: ['Name, address and password are needed.', '请填写姓名、邮箱和密码。'],
  OPERATOR_LINK_INVALID: [
    'This link was used, is too old, or never was one.',
    '此链接已被使用、已过期或不存在。',
  ],
  ACCOUNT_EXISTS: [
    'There is an account under this address. Sign in with it.',
    '该邮箱已有账户，请直接登录。',
  ],
  SIGN_UP_NOT_ALLOWED: [
    'An account here needs an invitation for this very address.',
    '在此创建账户需要发给该邮箱的邀请。',
  ],
  PROVIDER: ['The sign-in with the provider did not work. Try again.', '统一登录未成功，请重试。'],
  sign_up_not_allowed: [
    'There is no account for you here yet: ask for an invitation to the address that the provider knows.',
    '您还没有账户：请让组织向您在统一登录中的邮箱发送邀请。',
  ],
  email_not_verified: ['The provider has not verified your address.', '统一登录服务尚未验证您的邮箱。'],
  account_not_linked: [
    'There is an account under this address. Sign in with its password; then it can be joined to the provider’s.',
    '该邮箱已有账户。请先用密码登录，然后可将其与统一登录关联。',
  ],
  exceeds: [
    'Whoever invited you may not give that role any more. Ask for another invitation.',
    '邀请人已无权授予该角色，请重新获取邀请。',
  ],
  other_address: ['The invitation is for another address than yours.', '此邀请发给另一个邮箱。'],
  OVERLOADED: ['Too many sign-ins at once. Try again in a moment.', '登录请求过多，请稍后重试。'],
}

/** Null: nothing is known of the code. */
export function refusalOf(language: Language, code: string): string | null {
  const [en, zh] = (Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : undefined) ?? [null, null]
  return language === 'zh' ? zh : en
}

export const refusalIn = (language: Language, code: string): string =>
  refusalOf(language, code) ?? (language === 'zh' ? '操作未成功，请重试。' : 'That did not work. Try again.')

export function waitIn(language: Language, seconds: number): string {
  const minutes = Math.ceil(seconds / 60)
  return language === 'zh'
    ? `尝试次数过多，请在 ${minutes} 分钟后重试。`
    : `Too many attempts. Try again in ${minutes} minute${minutes === 1 ? '' : 's'}.`
}
