/// How many places of a listener each source prefix has: connections, pending hellos, and streams
/// that have not said hello. Only prefixes that have some are known, so there are never more of them
/// than places.
package struct SourcePrefixes: ~Copyable {
  /// The most of one prefix, unless the options say otherwise.
  package static let defaultLimit = 16_384

  private var entries = Slab<PrefixCount>(maxSlots: Handle.maxSlots)
  private var table = SlotTable()
  private let hash: KeyedHash

  /// - Parameter key: random, and known to nobody.
  init(key: UInt64) {
    hash = KeyedHash(key: key)
  }

  func count(of ip: IPAddress) -> Int {
    slot(ip.sourcePrefix).map { Int(entries[$0].count) } ?? 0
  }

  mutating func add(_ ip: IPAddress) {
    let prefix = ip.sourcePrefix
    if let slot = slot(prefix) {
      entries[slot].count &+= 1
    } else if let slot = entries.insert(PrefixCount(prefix: prefix, count: 1)) {
      let hash = hash
      table.insert(slot, of: entries) { hash.adding($0[$1].prefix).value }
    }
  }

  mutating func remove(_ ip: IPAddress) {
    guard let slot = slot(ip.sourcePrefix) else { return }
    entries[slot].count &-= 1
    guard entries[slot].count == 0 else { return }
    let hash = hash
    table.remove(slot, of: entries) { hash.adding($0[$1].prefix).value }
    entries.remove(slot)
  }

  private func slot(_ prefix: UInt64) -> Int? {
    table.slot(hash.adding(prefix).value) { entries[$0].prefix == prefix }
  }
}

/// The places of one source prefix.
struct PrefixCount: Vacant {
  var prefix: UInt64 = 0
  var count: UInt32 = 0

  static func vacant() -> PrefixCount { PrefixCount() }
}

extension ListenerState {
  /// Whether a source prefix may have one place more.
  func hasRoom(for ip: IPAddress) -> Bool { prefixes.count(of: ip) < limit(for: ip) }

  /// Whether a source prefix has so many places that the rest is for those who get answers: forged
  /// sources of a prefix must not keep out who is really there.
  func isCrowded(by ip: IPAddress) -> Bool { prefixes.count(of: ip) > limit(for: ip) / 2 }

  /// Who is on this machine is no crowd of strangers, unless the program says so.
  private func limit(for ip: IPAddress) -> Int {
    guard options.maxPerPrefix == 0 else { return Int(options.maxPerPrefix) }
    return ip.isLoopback ? .max : SourcePrefixes.defaultLimit
  }
}
