/** Cells like platform and country take few values, again and again; this many are worth remembering. */
const rememberedMax = 4_096

/** `derive`, asked once per value as long as there are not too many of them. Memory is bounded by forgetting everything. */
export function remembered<T extends object>(derive: (text: string) => T): (text: string) => T {
  const answers = new Map<string, T>()
  return (text) => {
    const known = answers.get(text)
    if (known !== undefined) return known
    const answer = derive(text)
    if (answers.size >= rememberedMax) answers.clear()
    answers.set(text, answer)
    return answer
  }
}
