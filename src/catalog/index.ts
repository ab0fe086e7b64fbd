export { type BoundContext, boundNano, outputTokensAffordable, type UsageBound } from './bound.ts'
export { type ConfigFault, ConfigFaults, faultText, nearestName } from './fault.ts'
export type { ConfigModel, ConfigRoute, ConfigRouteChannel, ForgeConfig } from './forge-config.ts'
export { type ParsedForgeYaml, parseForgeYaml } from './forge-yaml.ts'
export {
  type PriceContext,
  type PricedLine,
  type PricedUsage,
  priceUsage,
  priceVersionAt,
  type RateSelector,
  ratesFor,
} from './price.ts'
export {
  listPriceVersions,
  loadPriceVersion,
  type PriceVersionIds,
  priceHistory,
  priceKey,
  type StoredPriceVersion,
  storePriceVersions,
  type WantedPrice,
  wantedPrices,
} from './price-versions.ts'
export { loadSeed, type Seed, sandboxChannel } from './seed.ts'
export { sheetContent, sheetFromContent } from './sheet-content.ts'
export {
  buildSnapshot,
  type CatalogWarning,
  listModels,
  referenceSheetAt,
  type SnapshotOptions,
} from './snapshot.ts'
export { type Catalog, type CatalogOptions, openCatalog, type Reload } from './source.ts'
export type * from './types.ts'
