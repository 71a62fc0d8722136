declare module 'picomatch' {
  export default function picomatch(glob: string): (text: string) => boolean
}
