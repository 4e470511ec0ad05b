/// The notes' conn_status map: who is connected. Keyed by our session id, which the core has chosen
/// itself.
package struct ConnStatus: Sendable {
  private var slotBySession: [UInt64: UInt32] = [:]

  package init() {}

  package var count: Int { slotBySession.count }

  package mutating func add(_ session: UInt64, slot: Int) {
    slotBySession[session] = UInt32(truncatingIfNeeded: slot)
  }

  package mutating func remove(_ session: UInt64) {
    slotBySession[session] = nil
  }

  package func slot(_ session: UInt64) -> Int? {
    slotBySession[session].map(Int.init)
  }
}
