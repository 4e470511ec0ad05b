/// A connection: it names its peer for life, and is never given again.
public struct Connection: Hashable, Sendable {
  /// The handle of the core.
  package let handle: Handle

  /// Names what `handle` names.
  package init(_ handle: Handle) {
    self.handle = handle
  }

  /// The number behind the name, as in `msg_Conn`; for logs and for C.
  public var id: UInt64 { handle.rawValue }
}

/// A listener: it names one address that is listened on, and is never given again.
public struct Listener: Hashable, Sendable {
  /// The handle of the core.
  package let handle: Handle

  /// Names what `handle` names.
  package init(_ handle: Handle) {
    self.handle = handle
  }

  /// The number behind the name, as in `msg_Conn`; for logs and for C.
  public var id: UInt64 { handle.rawValue }
}

/// A request that was received: it may be answered once, also later and outside its handler.
public struct Request: Hashable, Sendable {
  /// The handle of the core.
  package let handle: Handle

  /// Whom the answer goes to.
  public let connection: Connection

  /// Names the request that `handle` names.
  package init(_ handle: Handle, of connection: Connection) {
    self.handle = handle
    self.connection = connection
  }

  /// The number behind the name, as in `msg_Request`; for logs and for C.
  public var id: UInt64 { handle.rawValue }
}

/// A get that waits for its reply: what `cancel` takes.
public struct PendingGet: Hashable, Sendable {
  /// The handle of the core.
  package let handle: Handle

  /// Names the get that `handle` names.
  package init(_ handle: Handle) {
    self.handle = handle
  }

  /// The number behind the name, as in `msg_Get`; for logs and for C.
  public var id: UInt64 { handle.rawValue }
}
