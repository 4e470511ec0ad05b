import CMsgBox

/// Wakes a loop from another thread. It may outlive the loop; waking is then without effect.
@safe package final class Waker: Sendable {
  /// The reference of this object to the C waker: `retained()` makes another one, for
  /// `msg_waker_create`.
  private nonisolated(unsafe) let waker: OpaquePointer

  /// Makes a waker for the event counter `descriptor`, of which it keeps a duplicate; nil without
  /// descriptor or memory.
  package convenience init?(eventCounter descriptor: Int32) {
    guard let waker = unsafe cmsgbox_waker_create(descriptor) else { return nil }
    unsafe self.init(waker)
  }

  private init(_ waker: OpaquePointer) {
    unsafe self.waker = waker
  }

  deinit {
    unsafe cmsgbox_waker_release(waker)
  }

  /// Makes the running or next turn return without waiting. Any thread.
  package func wake() {
    unsafe cmsgbox_waker_wake(waker)
  }

  /// One more reference to the same waker, as C has it; the caller gives it back with
  /// `cmsgbox_waker_release`.
  package func retained() -> OpaquePointer {
    unsafe cmsgbox_waker_retain(waker)
  }
}
