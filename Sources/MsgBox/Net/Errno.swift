import CMsgBox

/// A system error number, as `errno` has it. Zero is no error.
package struct Errno: Error, Equatable, Sendable {
  package var rawValue: Int32

  package init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  package static var addressInUse: Errno { Errno(rawValue: CMSGBOX_EADDRINUSE) }
  package static var addressNotAvailable: Errno { Errno(rawValue: CMSGBOX_EADDRNOTAVAIL) }
  package static var familyNotSupported: Errno { Errno(rawValue: CMSGBOX_EAFNOSUPPORT) }
  package static var accessDenied: Errno { Errno(rawValue: CMSGBOX_EACCES) }
  package static var notPermitted: Errno { Errno(rawValue: CMSGBOX_EPERM) }
  package static var tooManyOpenFiles: Errno { Errno(rawValue: CMSGBOX_EMFILE) }
  package static var tooManyOpenFilesInSystem: Errno { Errno(rawValue: CMSGBOX_ENFILE) }
  package static var connectionRefused: Errno { Errno(rawValue: CMSGBOX_ECONNREFUSED) }
  package static var connectionAborted: Errno { Errno(rawValue: CMSGBOX_ECONNABORTED) }
  package static var connectionReset: Errno { Errno(rawValue: CMSGBOX_ECONNRESET) }
  package static var brokenPipe: Errno { Errno(rawValue: CMSGBOX_EPIPE) }
  package static var hostUnreachable: Errno { Errno(rawValue: CMSGBOX_EHOSTUNREACH) }
  package static var hostDown: Errno { Errno(rawValue: CMSGBOX_EHOSTDOWN) }
  package static var networkUnreachable: Errno { Errno(rawValue: CMSGBOX_ENETUNREACH) }
  package static var networkDown: Errno { Errno(rawValue: CMSGBOX_ENETDOWN) }
  package static var timedOut: Errno { Errno(rawValue: CMSGBOX_ETIMEDOUT) }
  package static var noMemory: Errno { Errno(rawValue: CMSGBOX_ENOMEM) }
  package static var noBufferSpace: Errno { Errno(rawValue: CMSGBOX_ENOBUFS) }
  package static var wouldBlock: Errno { Errno(rawValue: CMSGBOX_EAGAIN) }
  package static var interrupted: Errno { Errno(rawValue: CMSGBOX_EINTR) }
  package static var messageTooLong: Errno { Errno(rawValue: CMSGBOX_EMSGSIZE) }
  package static var invalidArgument: Errno { Errno(rawValue: CMSGBOX_EINVAL) }
  package static var machineNotOnNetwork: Errno { Errno(rawValue: CMSGBOX_ENONET) }

  /// What a program is told of this error.
  package var status: Status {
    switch self {
    case Errno(rawValue: 0): .ok
    case .addressInUse: .addressInUse
    case .addressNotAvailable: .noAddress
    case .accessDenied, .notPermitted: .notPermitted
    case .tooManyOpenFiles, .tooManyOpenFilesInSystem: .noDescriptors
    case .connectionRefused: .refused
    case .hostUnreachable, .networkUnreachable, .hostDown, .networkDown, .machineNotOnNetwork:
      .unreachable
    case .timedOut: .timedOut
    case .connectionReset, .brokenPipe: .reset
    case .noMemory, .noBufferSpace: .noMemory
    default: .system
    }
  }

  /// Whether an ICMP message about an earlier packet says this, rather than the call that returned
  /// it.
  package var isBounce: Bool { cmsgbox_is_bounce(rawValue) == 1 }

  /// Whether accepting failed because of the one connection that was to be accepted, and may go on
  /// with the next.
  package var isOfOneConnection: Bool {
    self == .connectionAborted || self == .connectionReset || self == .notPermitted
      || self == .timedOut || isBounce
  }

  /// Whether the system lacks memory.
  package var isMemoryShortage: Bool { self == .noMemory || self == .noBufferSpace }

  /// Whether the process or the system is out of descriptors.
  package var isDescriptorShortage: Bool {
    self == .tooManyOpenFiles || self == .tooManyOpenFilesInSystem
  }
}

/// Turns what a shim returned, a value of 0 or more or a negated error number, into a value or an
/// error.
package func checked(_ result: Int32) throws(Errno) -> Int32 {
  guard result >= 0 else { throw Errno(rawValue: 0 &- result) }
  return result
}

/// The same for a shim that counts bytes.
package func checked(_ result: Int64) throws(Errno) -> Int {
  guard result >= 0 else { throw Errno(rawValue: Int32(truncatingIfNeeded: 0 &- result)) }
  return Int(result)
}
