/// The notes' conn_status map: who is connected. Keyed by our session id, which the core has chosen itself.
package struct ConnStatus: Sendable {
  private var slots: [UInt64: UInt32] = [:]

  package init() {}

  package var count: Int { slots.count }

  package mutating func add(_ session: UInt64, slot: Int) {
    slots[session] = UInt32(truncatingIfNeeded: slot)
  }

  package mutating func remove(_ session: UInt64) {
    slots[session] = nil
  }

  package func slot(_ session: UInt64) -> Int? {
    slots[session].map(Int.init)
  }
}
