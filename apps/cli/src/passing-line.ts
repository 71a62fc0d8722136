import { logUpdateStderr } from 'log-update'

export interface PassingLine<T> {
  show(progress: T): void
  end(): void
}

/** One line that is written over again and again, and gone at the end; nothing where nobody watches. */
export function passingLine<T>(textOf: (progress: T) => string): PassingLine<T> {
  if (!process.stderr.isTTY) return { show: () => {}, end: () => {} }
  return {
    show: (progress) => logUpdateStderr(textOf(progress)),
    end: () => logUpdateStderr.clear(),
  }
}
