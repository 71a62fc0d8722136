import { OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import {
  type ApiAnswer,
  type ApiRefused,
  keyRefused,
  notPostHog,
  type PostHogApi,
  scopeRefused,
} from './posthog-api.ts'

export interface Project {
  id: string
  confirmed: boolean
}

const projectsPerPage = 100
const ProjectAnswer = z
  .object({ id: z.union([z.int(), z.string()]), api_token: z.string() })
  .transform(({ id, api_token }) => ({ id: String(id), apiToken: api_token }))
const ProjectsPage = z.object({ results: z.array(ProjectAnswer), next: z.string().nullish() })

/** See `Queries`. */
export function findProject(
  api: PostHogApi,
  wanted: string | undefined,
  isItsKey: (apiToken: string) => boolean,
): Promise<Project> {
  return wanted === undefined ? projectOfKey(api, isItsKey) : confirmedProject(api, wanted, isItsKey)
}

async function confirmedProject(
  api: PostHogApi,
  wanted: string,
  isItsKey: (apiToken: string) => boolean,
): Promise<Project> {
  const project = await projectAt(api, encodeURIComponent(wanted))
  if (project.kind === 'answered') {
    if (isItsKey(project.value.apiToken)) return { id: wanted, confirmed: true }
    throw otherProject(wanted)
  }
  // A key that may only query does as well, if the user knows the project.
  if (isScopeMissing(project)) return { id: wanted, confirmed: false }
  throw projectRefused(project, api.appHost, wanted)
}

async function projectOfKey(api: PostHogApi, isItsKey: (apiToken: string) => boolean): Promise<Project> {
  // A key for one project may not list any, but may ask for its own.
  const current = await projectAt(api, '@current')
  if (current.kind === 'answered' && isItsKey(current.value.apiToken)) return { id: current.value.id, confirmed: true }
  let seen = 0
  for (let more = true; more; ) {
    const page = await api.get(`/api/projects/?limit=${projectsPerPage}&offset=${seen}`, ProjectsPage)
    if (page.kind === 'refused') {
      if (current.kind === 'answered') throw noSuchProject(1)
      throw projectRefused(current, api.appHost, null)
    }
    const { results, next } = page.value
    const match = results.find(({ apiToken }) => isItsKey(apiToken))
    if (match) return { id: match.id, confirmed: true }
    seen += results.length
    more = typeof next === 'string' && results.length > 0
  }
  throw noSuchProject(seen)
}

function projectAt(api: PostHogApi, id: string): Promise<ApiAnswer<z.infer<typeof ProjectAnswer>>> {
  return api.get(`/api/projects/${id}/`, ProjectAnswer)
}

function isScopeMissing({ status, detail }: ApiRefused): boolean {
  return status === 403 && detail.includes('scope')
}

function projectRefused(refused: ApiRefused, appHost: string, wanted: string | null): OperatorError {
  if (refused.status === 401) return keyRefused(refused.detail)
  if (wanted !== null && (refused.status === 403 || refused.status === 404)) {
    return new OperatorError(
      `The personal key cannot see the project ${wanted} (${refused.detail})`,
      'The number of a project stands in its address in PostHog and in its settings; the key needs access to it.',
    )
  }
  if (refused.status === 403) {
    return scopeRefused(
      refused.detail,
      'Give it the scope project:read, so that the project of the run can be found, or set POSTHOG_PROJECT_ID (--project).',
    )
  }
  return notPostHog(appHost, `${refused.status}: ${refused.detail}`)
}

function otherProject(wanted: string): OperatorError {
  return new OperatorError(
    `The project ${wanted} is not the one that the run was sent to: its project key is another`,
    'Leave POSTHOG_PROJECT_ID (--project) out, and the project is found by its key.',
  )
}

function noSuchProject(seen: number): OperatorError {
  return new OperatorError(
    `None of the ${seen} projects that the personal key can see is the one that the run was sent to`,
    'Use the key of somebody who can see it, and who is in its organization at present, or set POSTHOG_PROJECT_ID (--project).',
  )
}
