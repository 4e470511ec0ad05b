/// The notes' pending_closes map: sessions that have ended and whose entry in the rotation was not
/// met yet.
package struct PendingCloses: Sendable {
  private var sessions: Set<UInt64> = []

  package init() {}

  package var count: Int { sessions.count }

  package mutating func add(_ session: UInt64) {
    sessions.insert(session)
  }

  /// Whether the session was there; it is not afterwards.
  package mutating func remove(_ session: UInt64) -> Bool {
    sessions.remove(session) != nil
  }
}
