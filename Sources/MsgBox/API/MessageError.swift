import CMsgBox

/// Why a call failed or something ended: a code for programs and a text for people.
public struct MessageError: Error, Hashable, Sendable {
  /// What happened; compare it with the constants of `Code`.
  public var code: Code
  /// The `errno` behind the code, or 0.
  public var systemError: Int32

  /// Makes an error of `code` with the `errno` behind it, if any.
  public init(_ code: Code, systemError: Int32 = 0) {
    self.code = code
    self.systemError = systemError
  }

  /// Makes an error of a status of the core.
  package init(status: Status, systemError: Int32 = 0) {
    self.init(Code(status), systemError: systemError)
  }
}

extension MessageError {
  /// The kinds of failures and ends. More may be added; keep a `default` for them.
  public struct Code: Hashable, Sendable {
    /// The status of the core.
    package let status: Status

    /// Makes the code of a status of the core.
    package init(_ status: Status) {
      self.status = status
    }

    /// The number of the code in `msgbox.h`: negative for failures, positive for ends that are
    /// none.
    public var number: Int32 { status.rawValue }

    /// Whether this is a failure, and not an end that somebody wanted.
    public var isFailure: Bool { status.rawValue < 0 }

    /// An argument is out of its range.
    public static var invalidArgument: Code { Code(.invalidArgument) }
    /// The name has ended, or belongs to another box.
    public static var badHandle: Code { Code(.badHandle) }
    /// The name belongs to another thread; of the C interface only.
    public static var wrongThread: Code { Code(.wrongThread) }
    /// The end of this connection, listener or box is decided.
    public static var ended: Code { Code(.ended) }
    /// The send queue is at its mark; `writable` follows.
    public static var wouldBlock: Code { Code(.wouldBlock) }
    /// The message is larger than this connection can carry.
    public static var tooBig: Code { Code(.tooBig) }
    /// 65 535 gets are waiting for their replies.
    public static var busy: Code { Code(.busy) }
    /// The loop cannot be run from inside a handler.
    public static var reentrant: Code { Code(.reentrant) }
    /// A configured limit is reached.
    public static var limit: Code { Code(.limit) }
    /// The address is not `(tcp|udp)://(ip|*|[ipv6]|name):port`.
    public static var badAddress: Code { Code(.badAddress) }
    /// The host name has no address.
    public static var resolve: Code { Code(.resolve) }
    /// The local address is in use.
    public static var addressInUse: Code { Code(.addressInUse) }
    /// The system does not permit it.
    public static var notPermitted: Code { Code(.notPermitted) }
    /// The process or the system is out of descriptors.
    public static var noDescriptors: Code { Code(.noDescriptors) }
    /// Nobody listens there.
    public static var refused: Code { Code(.refused) }
    /// The network or the host cannot be reached.
    public static var unreachable: Code { Code(.unreachable) }
    /// Nothing was heard in time.
    public static var timedOut: Code { Code(.timedOut) }
    /// Ended by the program before its outcome.
    public static var cancelled: Code { Code(.cancelled) }
    /// A system call failed; see `systemError`.
    public static var system: Code { Code(.system) }
    /// The peer's end of the stream is gone without a close.
    public static var reset: Code { Code(.reset) }
    /// The peer broke the protocol.
    public static var protocolError: Code { Code(.protocolError) }
    /// The peer does not know this session: it was restarted or gave it up.
    public static var unknownSession: Code { Code(.unknownSession) }
    /// The peer denied the connection.
    public static var denied: Code { Code(.denied) }
    /// The peer has no room for the connection.
    public static var overload: Code { Code(.overload) }
    /// The peer ended the connection for want of data.
    public static var idle: Code { Code(.idle) }
    /// The peer replaced the connection by another.
    public static var replaced: Code { Code(.replaced) }
    /// The connection ended before the reply came.
    public static var connectionEnded: Code { Code(.connectionEnded) }
    /// The system is out of memory.
    public static var noMemory: Code { Code(.noMemory) }
    /// The address is not one of this machine's.
    public static var noAddress: Code { Code(.noAddress) }
    /// The peer or the transport cannot do it.
    public static var notSupported: Code { Code(.notSupported) }
    /// Messages come faster than the program takes them.
    public static var receiveMark: Code { Code(.receiveMark) }
    /// Not on the wire before its deadline.
    public static var expired: Code { Code(.expired) }
    /// A newer message with the same key took its place.
    public static var superseded: Code { Code(.superseded) }
    /// Nobody is connected to the listener.
    public static var noPeer: Code { Code(.noPeer) }
    /// Closed by this program; no failure.
    public static var closedLocally: Code { Code(.endLocal) }
    /// Closed by the peer; no failure.
    public static var closedByPeer: Code { Code(.endPeer) }
    /// Closed because its listener ended; no failure.
    public static var unlistened: Code { Code(.endUnlistened) }
  }
}

#if !hasFeature(Embedded)
  extension MessageError: CustomStringConvertible {
    /// One sentence for people.
    public var description: String {
      systemError == 0 ? code.description : "\(code.description) (errno \(systemError))"
    }
  }

  extension MessageError.Code: CustomStringConvertible {
    /// One sentence for people.
    public var description: String { unsafe String(cString: msg_status_text(number)) }

    /// The name of the code in `msgbox.h`, without its `MSG_`.
    public var name: String { unsafe String(cString: msg_status_name(number)) }
  }
#endif
