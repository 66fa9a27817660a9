// The entry point of every build: exports what the typed table names, nothing else.
export { add } from './elementwise';
