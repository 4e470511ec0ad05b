import CMsgBox

/// What a descriptor is ready for, or is watched for.
package struct Readiness: Equatable, Sendable {
  package var rawValue: UInt32

  package init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  package static var none: Readiness { Readiness(rawValue: 0) }
  package static var readable: Readiness { Readiness(rawValue: UInt32(CMSGBOX_READABLE)) }
  package static var writable: Readiness { Readiness(rawValue: UInt32(CMSGBOX_WRITABLE)) }
  /// An error or a hang-up: always watched.
  package static var failed: Readiness { Readiness(rawValue: UInt32(CMSGBOX_FAILED)) }

  package func contains(_ other: Readiness) -> Bool {
    rawValue & other.rawValue == other.rawValue
  }

  package func union(_ other: Readiness) -> Readiness {
    Readiness(rawValue: rawValue | other.rawValue)
  }

  package func subtracting(_ other: Readiness) -> Readiness {
    Readiness(rawValue: rawValue & ~other.rawValue)
  }
}

/// Waits for many descriptors at once, level-triggered (epoll). Closing a descriptor ends its
/// watch, unless a forked process has it too.
package final class Poller {
  /// Ready descriptors that one wait tells of.
  package static let capacity = 256

  private let epoll: FileDescriptor
  private var ready = [cmsgbox_ready](repeating: cmsgbox_ready(), count: Poller.capacity)

  package convenience init() throws(Errno) {
    self.init(epoll: try FileDescriptor(result: cmsgbox_poller_create()))
  }

  private init(epoll: consuming FileDescriptor) {
    self.epoll = epoll
  }

  /// Itself a descriptor, readable whenever one of the watched is ready.
  package var descriptor: Int32 { epoll.rawValue }

  /// Watches a descriptor; `token` comes back when it is ready.
  package func add(_ descriptor: Int32, token: UInt64, for interest: Readiness) throws(Errno) {
    _ = try checked(
      cmsgbox_poller_add(epoll.rawValue, descriptor, token, interest.rawValue))
  }

  package func change(_ descriptor: Int32, token: UInt64, to interest: Readiness) throws(Errno) {
    _ = try checked(
      cmsgbox_poller_change(epoll.rawValue, descriptor, token, interest.rawValue))
  }

  package func remove(_ descriptor: Int32) throws(Errno) {
    _ = try checked(cmsgbox_poller_remove(epoll.rawValue, descriptor))
  }

  /// Waits up to `milliseconds` (-1: without limit), or until a signal, and returns how many
  /// descriptors are ready.
  package func wait(milliseconds: Int32) throws(Errno) -> Int {
    let poller = epoll.rawValue
    let result = unsafe ready.withUnsafeMutableBufferPointer {
      unsafe cmsgbox_poller_wait(
        poller, $0.baseAddress, Int32(truncatingIfNeeded: $0.count), milliseconds)
    }
    return Int(try checked(result))
  }

  /// Entry `index` of what the last wait returned.
  package func result(_ index: Int) -> (token: UInt64, readiness: Readiness) {
    (ready[index].token, Readiness(rawValue: ready[index].flags))
  }
}
