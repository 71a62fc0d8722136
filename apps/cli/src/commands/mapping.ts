import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Command } from 'commander'
import { editorSchema, hashSaltFor, loadMapping } from '@heapferry/config'
import { OperatorError, visible, visibleJson } from '@heapferry/domain'
import { mappingFingerprint } from '@heapferry/migration'
import { exitCodes } from '../exit-codes.ts'
import { mappingTemplate } from '../mapping-template.ts'
import { options, settingsFrom, sourceForms } from '../options.ts'
import { planSource } from '../plan-source.ts'
import { answer, say } from '../print.ts'
import { stopSignal } from '../stop-signal.ts'

export function mappingCommand(command: Command): void {
  command
    .command('init')
    .description('write a commented mapping file for the tables of an export')
    .argument('<SOURCE>', sourceForms)
    .option('--out <FILE>', 'where to write it', 'heapferry.yaml')
    .option('--force', 'write over a file that is there', false)
    .addOption(options.mapping())
    .addHelpText(
      'after',
      `
The file holds names of tables and columns and counts of rows, no value of any
row. As it is written it changes nothing. Beside it heapferry.schema.json is
written, by which editors complete and check it. --mapping is for exports that
cannot be read without, such as files without headers.

  heapferry mapping init ./heap-export
  heapferry plan ./heap-export --mapping heapferry.yaml`,
    )
    .action(writeMapping)
  command
    .command('check')
    .description('name every fault of a mapping file with its line')
    .argument('<FILE>', 'a mapping file')
    .addOption(options.json())
    .addHelpText(
      'after',
      `
Also tells the file's fingerprint, which status, plan and reports show. Whether
an export has the tables and columns is told by: heapferry plan --mapping FILE

Exit codes: 0 the file can be used · 1 it has faults (all of them are listed)

  heapferry mapping check heapferry.yaml`,
    )
    .action(checkMapping)
}

const schemaName = 'heapferry.schema.json'

async function writeMapping(
  source: string,
  { out, force, mapping: given }: { out: string; force: boolean; mapping?: string },
): Promise<void> {
  const settings = settingsFrom({})
  const mapping = loadMapping(given)
  const schemaFile = path.join(path.dirname(out), schemaName)
  if (!force) {
    if (existsSync(out)) throw new OperatorError(`${out} is there already`, 'Give another name with --out, or --force.')
    if (!isOurs(schemaFile))
      throw new OperatorError(
        `${schemaFile} is there already, and not of heapferry`,
        'Give another folder, or --force.',
      )
  }
  const plan = await planSource(source, settings, {
    mapping,
    against: null,
    hashSalt: hashSaltFor(mapping, settings),
    includeRecent: false,
    full: false,
    eventsPerSecond: 1,
    signal: stopSignal('Stopping.'),
  })
  if (plan === null) {
    process.exitCode = exitCodes.stopped
    return
  }
  writeFileSync(out, mappingTemplate(plan, { schema: schemaName }), { flag: force ? 'w' : 'wx' })
  writeFileSync(schemaFile, editorSchema())
  for (const { problem, hint } of plan.faults) say(`${problem}\n  → ${hint}`)
  answer(visible(`${out} is written. To see what it does: heapferry plan ${source} --mapping ${out}`))
}

/** Whether nothing is lost if the schema is written there. */
function isOurs(schemaFile: string): boolean {
  return !existsSync(schemaFile) || readFileSync(schemaFile, 'utf8').includes('"heapferry mapping file"')
}

async function checkMapping(file: string, { json }: { json: boolean }): Promise<void> {
  const mapping = loadMapping(file)
  const fingerprint = mappingFingerprint(mapping)
  answer(
    json
      ? visibleJson({ fingerprint, mapping })
      : `${visible(file)} is a mapping file. Its fingerprint is ${fingerprint}.`,
  )
}
