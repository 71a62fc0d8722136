import { OperatorError } from '@heapferry/domain'

export interface BigqueryAddress {
  project: string
  dataset: string
  /** `bigquery://project/dataset`: all of it, and no secret. */
  text: string
}

/** @throws OperatorError that repeats nothing of an address which may hold a secret */
export function parseBigqueryAddress(source: string): BigqueryAddress {
  if (/[@?#]/.test(source))
    throw new OperatorError(
      'The address of a BigQuery is a project and a dataset, and holds no @, ? or #: others can see the command, and it is kept with the run',
      `Give ${form} alone. Credentials are found where Google's own tools leave them, or in the file that GOOGLE_APPLICATION_CREDENTIALS names. If a secret was typed, it is in the history of the shell: delete it there, or change it.`,
    )
  const [, project, dataset] = /^bigquery:\/\/([^/]+)\/([^/]+)\/?$/i.exec(source) ?? []
  if (!project || !dataset || !isProject(project.toLowerCase()) || !isDataset(dataset))
    throw new OperatorError(
      `${source} is no address of a BigQuery`,
      `Give ${form}: the dataset is the one that Heap writes to, such as main_production.`,
    )
  return { project: project.toLowerCase(), dataset, text: `bigquery://${project.toLowerCase()}/${dataset}` }
}

export interface Dataset {
  project: string
  dataset: string
}

/** `dataset`, of the same project, or `project.dataset`. @throws OperatorError when it is neither */
export function parseScratch(text: string, { project: own }: BigqueryAddress): Dataset {
  const [, project = own, dataset = ''] = /^(?:(.+)\.)?([^.]+)$/.exec(text) ?? []
  if (isProject(project) && isDataset(dataset)) return { project, dataset }
  throw new OperatorError(
    `HEAPFERRY_BIGQUERY_SCRATCH is ${text}, which is no dataset`,
    'Give dataset or project.dataset: one of yours, in the location of the dataset of Heap.',
  )
}

const form = 'bigquery://project/dataset'

/** Of old ones the name of a domain stands before a colon. */
function isProject(text: string): boolean {
  return /^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{2,28}[a-z0-9]$/.test(text)
}

function isDataset(text: string): boolean {
  return /^\w{1,1024}$/.test(text)
}
