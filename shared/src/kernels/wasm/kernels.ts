// The entry point of every build: exports what the typed table names, nothing else.
export { add } from './elementwise';
export { matmul } from './matmul';
export { convForward, convPackForward } from './conv-forward';
export { convBackwardData, convPackBackwardData } from './conv-backward-data';
export { convBackwardWeights } from './conv-backward-weights';
export { winogradBackwardData, winogradForward } from './winograd-forward';
export { winogradBackwardWeights } from './winograd-backward-weights';
export { winogradPackBackwardData, winogradPackForward } from './winograd-pack';
export { batchNormApply, batchNormCoefficients, batchNormMoments, batchNormRunningCoefficients } from './batch-norm';
export { batchNormBackwardApply, batchNormBackwardReduce } from './batch-norm-backward';
export { biasBackward, biasForward } from './bias';
export { addForward, reluBackward, reluForward } from './activation';
export { averagePoolBackward, averagePoolForward, maxPoolBackward, maxPoolForward } from './pooling';
export { globalAveragePoolBackward, globalAveragePoolForward } from './pooling';
export { fill, flattenBackward, flattenForward, shortcutBackward, shortcutForward } from './data-movement';
export { loadImage } from './image';
export { softmaxCrossEntropy } from './loss';
export { adamUpdate, sgdUpdate } from './optimizer';
export { countNonFinite, treeSum } from './reduction';
export { narrowFloats, roundFloats } from './short-floats';
// Exported only so that the optimizer does not inline them, which revectorization would not survive.
export { tileConvolution1, tileConvolution2, tileConvolution4, tileConvolution6 } from './conv-tile';
export { tileConvolutionHalf6, tileConvolutionQuad1, tileConvolutionQuad4 } from './conv-partial-tile';
export { tileWeights4, tileWeights6 } from './conv-weights-tile';
export { tileProduct4, tileProduct6 } from './matmul-tile';
export { tileAdd } from './tile-store';
export { tilePeak } from './peak';
export { tileWinogradFilter, tileWinogradFilterGradient, tileWinogradGradient, tileWinogradInput, tileWinogradOutput } from './winograd-transform';
