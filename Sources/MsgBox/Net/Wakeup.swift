import CMsgBox

/// An event counter: readable from `raise`, by any thread, until `clear`.
package final class Wakeup {
  private let counter: FileDescriptor

  package convenience init() throws(Errno) {
    self.init(counter: try FileDescriptor(result: cmsgbox_event_create()))
  }

  private init(counter: consuming FileDescriptor) {
    self.counter = counter
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
