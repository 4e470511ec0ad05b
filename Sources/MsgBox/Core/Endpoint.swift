/// Limits and identity of one endpoint.
package struct EndpointConfiguration: Sendable {
  /// Number of the box, 1...`Handle.maxBox`: the upper bits of each handle.
  package var box: UInt32 = 1
  package var maxPendingHellos = 4096
  package var maxTombstones = 4096

  package init() {}
}

/// All protocol state of one box, without I/O: connections, listeners, requests, heartbeats and timers.
///
/// It takes datagrams, stream bytes, results of actions, user calls and the time; it gives actions, transmits, stream
/// bytes, events and the next deadline. It never blocks, never calls back and never throws at hostile input.
/// After each input: take the events until there are none (an event's `.input` payload refers to the bytes of that
/// input), then the actions, and before waiting the transmits and stream bytes; only then ask for the deadline.
package struct Endpoint: ~Copyable {
  package init(configuration: EndpointConfiguration, random: RandomSource, now: Instant) {
    fatalError("being written")
  }

  // MARK: User calls

  /// Starts to listen. `locator` nil means that the address could not be parsed. The outcome is an event, always.
  /// Returns `.none` only if there is no slot left.
  package mutating func listen(
    _ locator: Locator?, options: ConnectionOptions, userWords: UserWords, at now: Instant
  ) -> Handle { fatalError() }

  /// Starts to connect; see `listen`.
  package mutating func connect(
    _ locator: Locator?, options: ConnectionOptions, userWords: UserWords, at now: Instant
  ) -> Handle { fatalError() }

  /// Queues a one-way message.
  package mutating func send(_ message: Span<UInt8>, to handle: Handle, at now: Instant) -> Status {
    fatalError()
  }

  /// Queues a request; `timeout` nil is the connection's.
  package mutating func get(
    _ message: Span<UInt8>, from handle: Handle, context: UInt, timeout: Interval?, at now: Instant
  ) -> Status { fatalError() }

  /// Queues the reply to a request.
  package mutating func answer(
    _ message: Span<UInt8>, to request: Handle, at now: Instant
  ) -> Status { fatalError() }

  package mutating func disconnect(_ handle: Handle, at now: Instant) -> Status { fatalError() }

  package mutating func unlisten(_ handle: Handle, at now: Instant) -> Status { fatalError() }

  /// Queues a close to every connection and forgets everything but what is still to be transmitted; no events follow.
  package mutating func shutDown(at now: Instant) { fatalError() }

  // MARK: Looking at a handle

  /// The words of a connection or listener; nil for a bad handle.
  package func userWords(of handle: Handle) -> UserWords? { fatalError() }

  /// Replaces the context; false for a bad handle.
  package mutating func setContext(_ context: UInt, of handle: Handle) -> Bool { fatalError() }

  /// The peer's address; a listener's own. Nil for a bad handle; unspecified while not known.
  package func address(of handle: Handle) -> (transport: Transport, address: Address)? {
    fatalError()
  }

  /// The local port; nil for a bad handle, 0 while not known.
  package func localPort(of handle: Handle) -> UInt16? { fatalError() }

  package func counters(of handle: Handle, at now: Instant) -> ConnectionCounters? { fatalError() }

  package var counters: Counters { fatalError() }

  package var census: Census { fatalError() }

  // MARK: Input

  /// One datagram of 0 or more bytes. `local` is the address that it was sent to, if the system told.
  package mutating func receive(
    _ datagram: Span<UInt8>, on socket: SocketID, from remote: Address, to local: Address,
    at now: Instant
  ) { fatalError() }

  /// The bytes that came next on a stream.
  package mutating func receiveStream(_ bytes: Span<UInt8>, on socket: SocketID, at now: Instant) {
    fatalError()
  }

  package mutating func streamEnded(_ socket: SocketID, _ end: StreamEnd, at now: Instant) {
    fatalError()
  }

  /// A datagram sent on this connected socket bounced (ECONNREFUSED, EHOSTUNREACH...): a hint, never a proof.
  package mutating func bounced(_ socket: SocketID, _ status: Status, at now: Instant) {
    fatalError()
  }

  /// The system refused to send a datagram or the rest of a stream for another reason than a full buffer.
  package mutating func sendFailed(
    _ socket: SocketID, to remote: Address, systemError: Int32, at now: Instant
  ) { fatalError() }

  /// The socket's send buffer is full (true) or has room again (false): `pollTransmit` passes over full sockets.
  package mutating func setBlocked(_ socket: SocketID, _ blocked: Bool) { fatalError() }

  /// Time has come to `now`. `drainedAt` is when the sockets were last seen empty: silence is judged up to then, so
  /// that a loop that was not entered for long loses nobody whose packets wait in the kernel.
  package mutating func handleTimeout(at now: Instant, drainedAt: Instant) { fatalError() }

  // MARK: Results of actions

  package mutating func resolved(_ handle: Handle, _ addresses: [Address], at now: Instant) {
    fatalError()
  }

  package mutating func resolveFailed(_ handle: Handle, systemError: Int32, at now: Instant) {
    fatalError()
  }

  /// The listener has its socket; `local` is the bound address with the real port.
  /// Returns false if the listener has ended meanwhile: the caller closes the socket.
  package mutating func bound(
    _ handle: Handle, _ socket: SocketID, local: Address, at now: Instant
  ) -> Bool { fatalError() }

  package mutating func bindFailed(
    _ handle: Handle, _ status: Status, systemError: Int32, at now: Instant
  ) { fatalError() }

  /// Returns false if the connection has ended meanwhile: the caller closes the socket.
  package mutating func datagramOpened(
    _ handle: Handle, _ socket: SocketID, local: Address, at now: Instant
  ) -> Bool { fatalError() }

  /// A TCP socket is connecting for `handle`. Returns false if the connection has ended meanwhile.
  package mutating func streamOpened(_ handle: Handle, _ socket: SocketID, at now: Instant) -> Bool {
    fatalError()
  }

  package mutating func streamConnected(_ socket: SocketID, local: Address, at now: Instant) {
    fatalError()
  }

  /// No socket could be opened, or connecting it failed. A socket named by `streamOpened` was closed by the caller.
  package mutating func openFailed(
    _ handle: Handle, _ status: Status, systemError: Int32, at now: Instant
  ) { fatalError() }

  /// A TCP listener accepted a socket. Returns false if it is not wanted (limits, listener ended): the caller closes it.
  package mutating func accepted(
    _ listener: SocketID, _ socket: SocketID, remote: Address, local: Address, at now: Instant
  ) -> Bool { fatalError() }

  /// A TCP listener could not accept (out of descriptors): one `error` event per episode.
  package mutating func acceptFailed(
    _ listener: SocketID, _ status: Status, systemError: Int32, at now: Instant
  ) { fatalError() }

  // MARK: Output

  /// The next event, or nil. What the event before it ended is freed by this call.
  package mutating func pollEvent() -> CoreEvent? { fatalError() }

  package mutating func pollAction() -> Action? { fatalError() }

  /// The next datagram, written to the front of `buffer` (at least 1200 bytes), or nil.
  package mutating func pollTransmit(into buffer: inout MutableSpan<UInt8>, at now: Instant)
    -> Transmit?
  { fatalError() }

  /// The next stream that has bytes to send and is not blocked, or nil. Each is named once until it has new bytes,
  /// or is unblocked with bytes left.
  package mutating func pollStream() -> SocketID? { fatalError() }

  /// Hands the unsent bytes of a stream to `write`, which returns how many of them (0...count) the system took.
  package mutating func writeStream(
    _ socket: SocketID, at now: Instant, _ write: (Span<UInt8>) -> Int
  ) { fatalError() }

  /// When `handleTimeout` is next due; nil if never. The past if something waits to be sent on a socket that is not
  /// blocked, or an event or action waits.
  package var nextDeadline: Instant? { fatalError() }
}
