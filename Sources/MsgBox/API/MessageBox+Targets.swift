// Sends to more than one, and to whoever is next.
extension MessageBox {
  /// Queues one message to every open connection of a listener; who does not take it is skipped,
  /// and the others get it all the same.
  ///
  /// With `SendOptions.tellsOutcome` one outcome follows for each that it was queued to; `writable`
  /// follows on each that was skipped for `wouldBlock`.
  ///
  /// - Returns: To how many it was queued, and who was skipped.
  /// - Throws: `noPeer` before `listening`, `ended`, `badHandle`, `invalidArgument`; nothing was
  ///   queued then.
  @discardableResult
  public func broadcast(
    _ message: Span<UInt8>, from listener: Listener, options: SendOptions = SendOptions()
  ) throws(MessageError) -> BroadcastResult {
    var skipped: [(connection: Connection, reason: MessageError)] = []
    let reached = try broadcast(message, from: listener, options: options) { handle, status in
      skipped.append((Connection(handle), MessageError(status: status)))
    }
    return BroadcastResult(reached: reached, skipped: skipped)
  }

  /// The same, telling each that is skipped to `skip`, which must call nothing of the box.
  package func broadcast(
    _ message: Span<UInt8>, from listener: Listener, options: SendOptions,
    shared: MessageBytes? = nil, skip: (Handle, Status) -> Void
  ) throws(MessageError) -> Int {
    let options = try options.core
    return try value(
      loop.endpoint.broadcast(
        message, from: listener.handle, options: options, shared: shared, at: loop.now,
        skipped: skip))
  }

  /// Queues one message to one of the open connections of a listener: to each in turn, passing over
  /// those that do not take it, such as those at their marks.
  ///
  /// - Returns: Whom it was queued to.
  /// - Throws: `noPeer` if there is no open connection; if none takes it, `wouldBlock` when
  ///   one of them was at its mark (`writable` follows on each of those), else why the last one did
  ///   not; `ended`, `badHandle`, `invalidArgument`.
  @discardableResult
  public func sendAny(
    _ message: Span<UInt8>, from listener: Listener, options: SendOptions = SendOptions()
  ) throws(MessageError) -> Connection {
    try sendAny(message, from: listener, options: options, shared: nil)
  }

  /// The same; `shared` is the same message, if it need not be copied.
  package func sendAny(
    _ message: Span<UInt8>, from listener: Listener, options: SendOptions, shared: MessageBytes?
  ) throws(MessageError) -> Connection {
    let options = try options.core
    return Connection(
      try value(
        loop.endpoint.sendAny(
          message, from: listener.handle, options: options, shared: shared, at: loop.now)))
  }

  // MARK: Marks

  /// Tells that the program has put so many messages and bytes more of a connection aside for
  /// later, such as for another thread; negative numbers when it has taken some of them.
  ///
  /// They count against the receive marks of the connection's listener, or of a client itself; what
  /// a handler is done with when it returns need not be told.
  ///
  /// - Throws: `badHandle`, `ended`.
  public func noteUntaken(
    messages: Int, bytes: Int, of connection: Connection
  ) throws(MessageError) {
    try noteUntaken(messages, bytes, connection.handle)
  }

  /// The same of any connections of a listener, so that it can be told after they have ended.
  ///
  /// - Throws: `badHandle`, `ended`.
  public func noteUntaken(messages: Int, bytes: Int, of listener: Listener) throws(MessageError) {
    try noteUntaken(messages, bytes, listener.handle)
  }

  /// The same by handle; numbers beyond any memory are cut.
  package func noteUntaken(
    _ messages: Int, _ bytes: Int, _ handle: Handle
  ) throws(MessageError) {
    guard !isClosed else { throw MessageError(.ended) }
    guard loop.endpoint.userWords(of: handle) != nil else { throw MessageError(.badHandle) }
    let most = 1 << 40
    loop.endpoint.untaken(
      handle, messages: min(max(messages, -most), most), bytes: min(max(bytes, -most), most))
  }

  /// Sets what all connections of the box share, for all sends and receptions from here on.
  ///
  /// - Throws: `invalidArgument` if a limit is 0, or `spin` out of range; `ended`.
  public func setOptions(_ options: BoxOptions) throws(MessageError) {
    guard options.spin >= .zero, options.spin <= .seconds(1) else {
      throw MessageError(.invalidArgument)
    }
    try check(loop.endpoint.setLimits(options.core) ? .ok : .invalidArgument)
    loop.spin = Interval(options.spin)
  }
}
