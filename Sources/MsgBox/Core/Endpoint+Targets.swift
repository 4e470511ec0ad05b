/// Sends to more than one, and to whoever is next.
extension Endpoint {
  /// Queues a one-way message to every open connection of a listener. Who does not take it is told
  /// to `skipped`, with the reason. Returns to how many it was queued.
  package mutating func broadcast(
    _ message: Span<UInt8>, from listener: Handle, options: SendOptions, at now: Instant,
    skipped: (Handle, Status) -> Void
  ) -> Result<Int, Status> {
    .failure(.notSupported)
  }

  /// Queues a one-way message to one of a listener's open connections: each in turn, passing over
  /// those that are at their marks. Returns whom it was queued to.
  package mutating func sendAny(
    _ message: Span<UInt8>, from listener: Handle, options: SendOptions, at now: Instant
  ) -> Result<Handle, Status> {
    .failure(.notSupported)
  }

  /// Ends a get of ours: `replyMissing` with `cancelled` follows.
  package mutating func cancel(get: Handle) -> Status { .notSupported }

  /// Ends a connection without delivering what is queued: its end follows at once.
  package mutating func abort(_ handle: Handle, at now: Instant) -> Status { .notSupported }

  /// Replaces the limits of the box; false if they are out of range.
  package mutating func setLimits(_ limits: BoxLimits) -> Bool { limits.isValid }

  /// The program has not taken so many more messages and bytes of a connection's listener, or of
  /// the connection itself at a client; negative when it took some. Told by an owner that keeps
  /// events for later.
  package mutating func untaken(_ handle: Handle, messages: Int, bytes: Int) {}

  /// Drops of one connection by reason; 0 for a bad handle.
  package func dropped(_ reason: DropReason, of handle: Handle) -> UInt64 { 0 }
}

extension Endpoint {
  /// The socket that a connection has now; nil for a bad handle, a listener, and while it has none.
  package func socket(of handle: Handle) -> SocketID? {
    guard let slot = slot(handle), connections[slot].role != .listener,
      connections[slot].socket != ConnectionRecord.noSocket
    else { return nil }
    return connections[slot].socket
  }
}
