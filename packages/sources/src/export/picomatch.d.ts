declare module 'picomatch' {
  export default function picomatch(glob: string, options?: { dot?: boolean }): (text: string) => boolean
}
