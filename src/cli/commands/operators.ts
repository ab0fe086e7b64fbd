import { type Command, givenFlag } from '../command.ts'
import { listText } from '../text.ts'

const operatorLink: Command = {
  words: ['operator', 'link'],
  summary: 'Makes a one-time link by which a person becomes an operator',
  args: [],
  options: {},
  explain: {},
  example: 'forge operator link',
  async run({ client }) {
    const value = await (await client()).createOperatorLink()
    return { value, text: value.url }
  },
}

const operatorList: Command = {
  words: ['operator', 'list'],
  summary: 'Lists the people who operate this installation',
  args: [],
  options: {},
  explain: {},
  example: 'forge operator list',
  async run({ client }) {
    const value = await (await client()).listOperators()
    const rows = value.data.map((one) => [
      one.id,
      one.email,
      one.name,
      one.role,
      one.two_factor ? 'yes' : 'no',
    ])
    return {
      value,
      text: listText(['id', 'e-mail', 'name', 'role', 'second factor'], rows, value.next_cursor),
    }
  },
}

const operatorAdd: Command = {
  words: ['operator', 'add'],
  summary: 'Makes a person an operator, or gives an operator another role',
  args: ['EMAIL'],
  options: { role: { type: 'string' } },
  required: ['role'],
  explain: { role: 'admin, or auditor, who reads everything and changes nothing' },
  example: 'forge operator add lin@example.com --role auditor',
  async run({ args, flags, client }) {
    // The server knows the roles and says which there are.
    const role = givenFlag(flags, 'role') as 'admin' | 'auditor'
    const value = await (await client()).putOperator({ email: args[0] ?? '', role })
    return { value, text: `${value.id}  ${value.email}  ${value.role}` }
  },
}

const operatorRemove: Command = {
  words: ['operator', 'remove'],
  summary: 'Ends that a person is an operator; the account stays',
  args: ['ID'],
  options: {},
  explain: {},
  example: 'forge operator remove usr_…',
  async run({ args, client }) {
    const value = await (await client()).removeOperator(args[0] ?? '')
    return { value, text: `${value.email} is no operator any more` }
  },
}

export const OPERATOR_COMMANDS: readonly Command[] = [operatorLink, operatorList, operatorAdd, operatorRemove]
