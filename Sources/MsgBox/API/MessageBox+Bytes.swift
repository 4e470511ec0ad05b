// The same calls for the other shapes that bytes come in.
extension MessageBox {
  /// Queues one message; see `send` of a `Span`.
  public func send(
    _ message: RawSpan, to connection: Connection, options: SendOptions = SendOptions()
  ) throws(MessageError) {
    try send(message.bytes8, to: connection, options: options)
  }

  /// Queues one message; see `send` of a `Span`. A large one is shared with the caller, not copied.
  public func send(
    _ message: [UInt8], to connection: Connection, options: SendOptions = SendOptions()
  ) throws(MessageError) {
    try send(message.span, to: connection, options: options, shared: shared(message))
  }

  /// The array itself, if it is large enough to be queued as it is.
  private func shared(_ message: [UInt8]) -> MessageBytes? {
    message.count >= StreamQueue.ownPiece ? MessageBytes(message) : nil
  }

  /// Queues one message to every connection of a listener; see `broadcast` of a `Span`.
  @discardableResult
  public func broadcast(
    _ message: RawSpan, from listener: Listener, options: SendOptions = SendOptions()
  ) throws(MessageError) -> BroadcastResult {
    try broadcast(message.bytes8, from: listener, options: options)
  }

  /// Queues one message to every connection of a listener; see `broadcast` of a `Span`.
  @discardableResult
  public func broadcast(
    _ message: [UInt8], from listener: Listener, options: SendOptions = SendOptions()
  ) throws(MessageError) -> BroadcastResult {
    try broadcast(message.span, from: listener, options: options)
  }

  /// Queues one message to one connection of a listener; see `sendAny` of a `Span`.
  @discardableResult
  public func sendAny(
    _ message: RawSpan, from listener: Listener, options: SendOptions = SendOptions()
  ) throws(MessageError) -> Connection {
    try sendAny(message.bytes8, from: listener, options: options)
  }

  /// Queues one message to one connection of a listener; see `sendAny` of a `Span`.
  @discardableResult
  public func sendAny(
    _ message: [UInt8], from listener: Listener, options: SendOptions = SendOptions()
  ) throws(MessageError) -> Connection {
    try sendAny(message.span, from: listener, options: options, shared: shared(message))
  }

  /// Asks for a reply; see `get` of a `Span`.
  @discardableResult
  public func get(
    _ message: RawSpan, from connection: Connection, timeout: Duration? = nil, context: UInt = 0
  ) throws(MessageError) -> PendingGet {
    try get(message.bytes8, from: connection, timeout: timeout, context: context)
  }

  /// Asks for a reply; see `get` of a `Span`.
  @discardableResult
  public func get(
    _ message: [UInt8], from connection: Connection, timeout: Duration? = nil, context: UInt = 0
  ) throws(MessageError) -> PendingGet {
    try get(message.span, from: connection, timeout: timeout, context: context)
  }

  /// Answers a request; see `answer` of a `Span`.
  public func answer(_ message: RawSpan, to request: Request) throws(MessageError) {
    try answer(message.bytes8, to: request)
  }

  /// Answers a request; see `answer` of a `Span`.
  public func answer(_ message: [UInt8], to request: Request) throws(MessageError) {
    try answer(message.span, to: request)
  }
}

extension RawSpan {
  /// The same bytes, typed.
  fileprivate var bytes8: Span<UInt8> {
    @_lifetime(copy self) get { Span(_bytes: self) }
  }
}

#if !hasFeature(Embedded)
  extension MessageBox {
    /// Starts to listen; see `listen` of a `Span`.
    @discardableResult
    public func listen(
      on address: String, options: Options = Options()
    ) throws(MessageError) -> Listener {
      try listen(on: Array(address.utf8).span, options: options)
    }

    /// Starts to connect; see `connect` of a `Span`.
    @discardableResult
    public func connect(
      to address: String, options: Options = Options()
    ) throws(MessageError) -> Connection {
      try connect(to: Array(address.utf8).span, options: options)
    }

    /// Queues a message of UTF-8; see `send` of a `Span`.
    public func send(
      _ text: String, to connection: Connection, options: SendOptions = SendOptions()
    ) throws(MessageError) {
      try send(Array(text.utf8), to: connection, options: options)
    }

    /// Queues a message of UTF-8 to every connection of a listener; see `broadcast` of a `Span`.
    @discardableResult
    public func broadcast(
      _ text: String, from listener: Listener, options: SendOptions = SendOptions()
    ) throws(MessageError) -> BroadcastResult {
      try broadcast(Array(text.utf8), from: listener, options: options)
    }

    /// Queues a message of UTF-8 to one connection of a listener; see `sendAny` of a `Span`.
    @discardableResult
    public func sendAny(
      _ text: String, from listener: Listener, options: SendOptions = SendOptions()
    ) throws(MessageError) -> Connection {
      try sendAny(Array(text.utf8), from: listener, options: options)
    }

    /// Asks with a message of UTF-8; see `get` of a `Span`.
    @discardableResult
    public func get(
      _ text: String, from connection: Connection, timeout: Duration? = nil, context: UInt = 0
    ) throws(MessageError) -> PendingGet {
      try get(Array(text.utf8), from: connection, timeout: timeout, context: context)
    }

    /// Answers with a message of UTF-8; see `answer` of a `Span`.
    public func answer(_ text: String, to request: Request) throws(MessageError) {
      try answer(Array(text.utf8), to: request)
    }

    /// The peer's address, such as `udp://[::1]:2345`; nil for a connection that has ended.
    public func address(of connection: Connection) -> String? {
      addressText(of: connection.handle).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The address that is listened on; nil for a listener that has ended.
    public func address(of listener: Listener) -> String? {
      addressText(of: listener.handle).map { String(decoding: $0, as: UTF8.self) }
    }
  }

  extension String {
    /// The text that `bytes` spell in UTF-8; what is none becomes U+FFFD.
    public init(decoding bytes: RawSpan) {
      self = unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }
  }

  extension [UInt8] {
    /// A copy of borrowed bytes.
    public init(_ bytes: RawSpan) {
      self = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    }
  }
#endif
