extension MessageBox {
  // MARK: Beginnings

  /// Starts to listen; the outcome is always an event, `listening` or `listeningError`.
  ///
  /// - Parameters:
  ///   - address: ASCII of `(tcp|udp)://(ip|*|[ipv6]|host name):port`. `*` is every address of both
  ///     families; port 0 lets the system choose, `localPort` tells.
  ///   - options: Of the listener and its connections.
  /// - Throws: `ended`; `limit` when there is no name left for a listener.
  @discardableResult
  public func listen(
    on address: Span<UInt8>, options: Options = Options()
  ) throws(MessageError) -> Listener {
    let words = UserWords(context: options.context, handler: 0)
    return Listener(try listen(address, options.core, words))
  }

  /// Starts to connect; the outcome is always an event, `connectionSetup` or
  /// `connectionSetupError`.
  ///
  /// Messages and gets may be queued at once, within the marks.
  ///
  /// - Parameters:
  ///   - address: As for `listen`, without `*`.
  ///   - options: Of the connection.
  /// - Throws: `ended`; `limit` when there is no name left for a connection.
  @discardableResult
  public func connect(
    to address: Span<UInt8>, options: Options = Options()
  ) throws(MessageError) -> Connection {
    let words = UserWords(context: options.context, handler: 0)
    return Connection(try connect(address, options.core, words))
  }

  /// Starts to listen with options and words of the core; returns the handle.
  package func listen(
    _ address: Span<UInt8>, _ options: ConnectionOptions, _ words: UserWords
  ) throws(MessageError) -> Handle {
    guard !isClosed else { throw MessageError(.ended) }
    let locator = LocatorParser.parse(address)
    let handle = loop.endpoint.listen(locator, options: options, userWords: words, at: loop.now)
    guard handle != .none else { throw MessageError(.limit) }
    return handle
  }

  /// Starts to connect with options and words of the core; returns the handle.
  package func connect(
    _ address: Span<UInt8>, _ options: ConnectionOptions, _ words: UserWords
  ) throws(MessageError) -> Handle {
    guard !isClosed else { throw MessageError(.ended) }
    let locator = LocatorParser.parse(address)
    let handle = loop.endpoint.connect(locator, options: options, userWords: words, at: loop.now)
    guard handle != .none else { throw MessageError(.limit) }
    return handle
  }

  // MARK: Messages

  /// Queues one message of 0 or more bytes; it leaves at the end of the turn, or before.
  ///
  /// Over UDP a message may be lost or arrive out of order, and one of more than 1184 bytes, which
  /// travels in parts, is lost with any part of it; over TCP it arrives unless the connection ends.
  /// A reliable one arrives once, and in the order of its channel, unless the connection ends
  /// before.
  ///
  /// - Throws: `wouldBlock` (nothing was queued; `writable` follows), `tooBig`, `ended`,
  ///   `badHandle`; `invalidArgument` for options out of range; `notSupported` for a reliable
  ///   message to an implicit peer.
  public func send(
    _ message: Span<UInt8>, to connection: Connection, options: SendOptions = SendOptions()
  ) throws(MessageError) {
    try send(message, to: connection, options: options, shared: nil)
  }

  /// The same; `shared` is the same message, if it need not be copied.
  package func send(
    _ message: Span<UInt8>, to connection: Connection, options: SendOptions,
    shared: MessageBytes?
  ) throws(MessageError) {
    let core = try options.core
    try check(queue(message, to: connection.handle, core, shared: shared))
  }

  /// Asks for a reply: exactly one of `reply` and `replyMissing` follows, unless this throws.
  ///
  /// Over UDP the request is resent until the reply comes or its time is over; the program of the
  /// peer gets it at most once.
  ///
  /// - Parameters:
  ///   - message: 0 or more bytes.
  ///   - connection: Whom to ask.
  ///   - timeout: More than zero; nil is that of the connection's options.
  ///   - context: Comes back with the outcome.
  /// - Returns: What `cancel` takes.
  /// - Throws: What `send` throws, or `busy`; the get has then not begun.
  @discardableResult
  public func get(
    _ message: Span<UInt8>, from connection: Connection, timeout: Duration? = nil,
    context: UInt = 0
  ) throws(MessageError) -> PendingGet {
    PendingGet(
      try value(
        ask(
          message, from: connection.handle, context: context,
          timeout: timeout.map { Interval($0) })))
  }

  /// Gives up a get: `replyMissing` with `cancelled` follows.
  ///
  /// The program of the peer may have had the request, or get it still.
  ///
  /// - Throws: `badHandle` if the outcome is decided already; `ended`.
  public func cancel(_ get: PendingGet) throws(MessageError) {
    try check(loop.endpoint.cancel(get: get.handle, at: loop.now))
  }

  /// Answers a request, once: in its handler or later, in any order.
  ///
  /// - Throws: What `send` throws; `badHandle` if it was answered, or its connection has ended.
  ///   After `wouldBlock` or `tooBig` the request is still open.
  public func answer(_ message: Span<UInt8>, to request: Request) throws(MessageError) {
    try check(reply(message, to: request.handle))
  }

  // MARK: Ends

  /// Ends a connection: what was accepted is delivered, then a close is sent.
  ///
  /// Its end follows as an event, `connectionClosed`, or `connectionSetupError` with `cancelled` if
  /// it had no outcome. Delivered means, for reliable messages, acknowledged by the peer; for all
  /// others given to the system: over UDP they may be lost as ever, over TCP the system sends them
  /// before its end of the stream. That takes at most `Options.closeTimeout`; the event says how
  /// many were left then. Gets do not wait for their replies, but end with `connectionEnded`.
  ///
  /// - Throws: `ended`, `badHandle`.
  public func disconnect(_ connection: Connection) throws(MessageError) {
    try check(loop.endpoint.disconnect(connection.handle, at: loop.now))
  }

  /// Ends a connection as `disconnect` does, but what is queued is dropped and the end follows at
  /// once, also when `disconnect` is still delivering.
  ///
  /// The peer is told if that can be done without waiting.
  ///
  /// - Throws: `ended`, `badHandle`.
  public func abort(_ connection: Connection) throws(MessageError) {
    try check(loop.endpoint.abort(connection.handle, at: loop.now))
  }

  /// Ends a listener: `connectionClosed` for each of its connections, then `listeningEnded`; or
  /// `listeningError` with `cancelled` if it had no outcome.
  ///
  /// - Throws: `ended`, `badHandle`.
  public func unlisten(_ listener: Listener) throws(MessageError) {
    try check(loop.endpoint.unlisten(listener.handle, at: loop.now))
  }

  /// Makes a call, unless the box is closed, and throws what it answers but `ok`.
  func check(_ status: @autoclosure () -> Status) throws(MessageError) {
    let status = isClosed ? .ended : status()
    if status != .ok { throw MessageError(status: status) }
  }

  /// Makes a call, unless the box is closed, and throws its failure.
  func value<Value>(
    _ result: @autoclosure () -> Result<Value, Status>
  ) throws(MessageError) -> Value {
    switch isClosed ? .failure(.ended) : result() {
    case .success(let value): return value
    case .failure(let status): throw MessageError(status: status)
    }
  }
}

// The calls that a program makes for each message, as both faces make them: by handle, and with a
// status in place of an error.
extension MessageBox {
  /// Queues a one-way message. Few need the time, and to look at the clock would cost more than all
  /// the rest.
  @inline(__always)
  package func queue(_ message: Span<UInt8>, to handle: Handle) -> Status {
    if isClosed { return .ended }
    if loop.endpoint.join(message, to: handle) { return .ok }
    if loop.endpoint.pack(message, to: handle, isAlone: false) { return .ok }
    if loop.endpoint.write(message, to: handle) { return .ok }
    return loop.endpoint.send(message, to: handle, at: loop.callTime)
  }

  /// Queues a one-way message with options, of which none is out of its range.
  package func queue(
    _ message: Span<UInt8>, to handle: Handle, _ options: MsgBox.SendOptions,
    shared: MessageBytes? = nil
  ) -> Status {
    if isClosed { return .ended }
    if options.isPlain, loop.endpoint.pack(message, to: handle, isAlone: options.isAlone) {
      return .ok
    }
    if options.isPlain, loop.endpoint.write(message, to: handle) { return .ok }
    return loop.endpoint.send(
      message, to: handle, options: options, shared: shared, at: loop.callTime)
  }

  /// Queues a request; returns what cancels it.
  @inline(__always)
  package func ask(
    _ message: Span<UInt8>, from handle: Handle, context: UInt, timeout: Interval?
  ) -> Result<Handle, Status> {
    if isClosed { return .failure(.ended) }
    return loop.endpoint.get(
      message, from: handle, context: context, timeout: timeout, at: loop.callTime)
  }

  /// Queues the reply to a request.
  @inline(__always)
  package func reply(_ message: Span<UInt8>, to request: Handle) -> Status {
    if isClosed { return .ended }
    if loop.endpoint.answerAtOnce(message, to: request, lookedAt: loop.lastLook) { return .ok }
    return loop.endpoint.answer(message, to: request, at: loop.callTime)
  }
}
