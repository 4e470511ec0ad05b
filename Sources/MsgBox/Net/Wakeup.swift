import CMsgBox

/// An event counter: readable from `raise`, by any thread, until `clear`.
package final class Wakeup {
  private let counter: FileDescriptor

  package init() throws(Errno) {
    counter = try FileDescriptor(result: cmsgbox_event_create())
  }

  package var descriptor: Int32 { counter.rawValue }

  package func raise() {
    // A counter of our own can only be full, and then it is readable.
    _ = cmsgbox_event_raise(counter.rawValue)
  }

  package func clear() {
    _ = cmsgbox_event_clear(counter.rawValue)
  }
}
