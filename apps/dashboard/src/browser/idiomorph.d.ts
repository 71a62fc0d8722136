/** Comes by a script of its own, as uPlot does. */
declare const Idiomorph: typeof import('idiomorph').Idiomorph
