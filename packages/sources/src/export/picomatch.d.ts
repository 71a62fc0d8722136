declare module 'picomatch' {
  export default function picomatch(
    glob: string,
    options?: { dot?: boolean; noextglob?: boolean },
  ): (text: string) => boolean
}
