/// What the sessions of a box together may grow by to know requests that come again. Two requests with
/// ids far apart ask for as much memory as a thousand whose ids are near, so what one session may have is
/// no bound for many.
///
/// Without room a session keeps what it has: it takes late requests for copies sooner, and forgets
/// replies sooner. Nothing else depends on it.
package final class RepeatMemory {
  /// Bytes of all at most.
  package var most: Int
  package private(set) var used = 0

  package init(most: Int) {
    self.most = most
  }

  /// Whether there is room for so many more bytes; if so they are taken.
  func take(_ bytes: Int) -> Bool {
    guard bytes <= most - used else { return false }
    used += bytes
    return true
  }

  func give(_ bytes: Int) { used -= bytes }
}
