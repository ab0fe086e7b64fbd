#!/usr/bin/env node
// Plain JavaScript that any Node since 20 can read: it finds a Node that can run the product, and runs it there.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NEEDED = 24
const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const MAIN = [join(ROOT, 'src', 'main.ts'), join(ROOT, 'dist', 'main.js')].find((path) => existsSync(path))

/** The Node that came as a dependency, or null. */
function pinnedNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve(
      `node-${process.platform}-${process.arch}/package.json`,
    )
    const path = join(dirname(manifest), 'bin', 'node')
    return existsSync(path) ? path : null
  } catch {
    return null
  }
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

function runElsewhere(node, main) {
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
  const forward = (signal) => {
    // A terminal sends its interrupt to both processes; a second one would look like impatience.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, forward)
  child.on('error', (error) => fail(`The pinned Node cannot be run (${node}): ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}

if (MAIN === undefined) {
  fail('Neither src/main.ts nor dist/main.js is here: the installation is incomplete.')
} else if (Number.parseInt(process.versions.node, 10) >= NEEDED) {
  await import(pathToFileURL(MAIN).href)
} else {
  const node = pinnedNode()
  if (node === null)
    fail(
      `Tokens Forge runs on Node ${NEEDED} or later; this is Node ${process.versions.node}, and no pinned one is installed for ` +
        `${process.platform} ${process.arch}. Run npm ci, or install a newer Node.`,
    )
  else runElsewhere(node, MAIN)
}
