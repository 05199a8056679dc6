/**
 * Preloaded into processes under test: nothing can be added to the prototypes that every object has, so that input
 * which tries to ends in an error that is seen (S36). Not frozen: libraries give their own classes methods of these names.
 */
for (const { prototype } of [Object, Array, Function, String, Number, Boolean, RegExp, Date, Map, Set, Error])
  Object.preventExtensions(prototype);
