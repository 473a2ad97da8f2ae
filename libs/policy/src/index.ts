export { type Address, formatAddress, parseAddress } from "./address.ts";
export { type AddressRange, formatAddressRange, parseAddressRange, rangeContains } from "./address-range.ts";
export { type AddressReach, reachOf, vetAddress } from "./address-reach.ts";
export { HostFault, parseAuthoredHost } from "./authored-host.ts";
export {
  type AuthoredPolicy,
  type AuthoredRule,
  formatAuthoredPolicy,
  parseAuthoredPolicy,
  policyOfHosts,
} from "./authored-policy.ts";
export { type HostGroup, hostGroups } from "./catalogue.ts";
export { type CompiledPolicy, type CompiledRule, compilePolicy, PolicyNotCompiled } from "./compile.ts";
export { type Asked, decide, type PolicyDenial, type PolicyVerdict } from "./decide.ts";
export { decideDialled } from "./decide-dialled.ts";
export { grantHosts, type HostGrant } from "./grant-hosts.ts";
export { httpMethods } from "./http-methods.ts";
export { lintPolicy } from "./lint.ts";
export { isProviderSecret, lintProvider, type ProviderCheck } from "./lint-provider.ts";
export { findPlaceholder, newPlaceholder, placeholderBytes } from "./placeholder.ts";
export {
  type PolicyCheck,
  type PolicyFault,
  type PolicyMessage,
  policyMode,
  type ReadonlyPolicy,
  type ReadonlyRule,
  type RuleMessage,
  ruleAction,
  ruleProtocol,
} from "./policy-message.ts";
export { type DeniedDestination, type ProposedRule, proposeRules } from "./propose-rules.ts";
export { endpointCovers } from "./provider-endpoint.ts";
export { type EndpointMessage, type ProviderMessage, providerKind } from "./provider-message.ts";
export { providersOf } from "./providers-of.ts";
export { type ReviewWarning, reviewRules } from "./review-rules.ts";
export { ruleName } from "./rule-name.ts";
export { type RecordedDestination, type SimulatedChange, type Simulation, simulate } from "./simulate.ts";
export { type Authority, type Host, parseHostName, parseWireAuthority, parseWireHost } from "./wire-host.ts";
