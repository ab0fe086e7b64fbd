export { createMailer, type Mail, type Mailer, type MailerOptions, type Sent } from './mailer.ts'
