#if !hasFeature(Embedded)
  /// One connection of an `AsyncMessageBox`, which it keeps alive.
  public struct AsyncConnection: Sendable {
    /// Its name, as in events.
    public let connection: Connection
    /// Where it is.
    public let box: AsyncMessageBox

    init(_ connection: Connection, of box: AsyncMessageBox) {
      self.connection = connection
      self.box = box
    }

    /// Sends one message; see `AsyncMessageBox.send`.
    public func send(
      _ message: [UInt8], options: MessageBox.SendOptions = MessageBox.SendOptions()
    ) async throws(MessageError) {
      try await box.send(message, to: connection, options: options)
    }

    /// Sends one message and returns when the peer has acknowledged it; see
    /// `AsyncMessageBox.send(reliable:)`.
    public func send(
      reliable message: [UInt8], channel: UInt8 = 0, deadline: Duration? = nil
    ) async throws(MessageError) {
      try await box.send(reliable: message, to: connection, channel: channel, deadline: deadline)
    }

    /// Asks and waits for the reply; see `AsyncMessageBox.get`.
    public func get(
      _ message: [UInt8], timeout: Duration? = nil
    ) async throws(MessageError) -> [UInt8] {
      try await box.get(message, from: connection, timeout: timeout)
    }

    /// Ends the connection; see `AsyncMessageBox.disconnect`.
    public func disconnect() async throws(MessageError) {
      try await box.disconnect(connection)
    }

    /// Ends the connection without delivering what is queued; see `AsyncMessageBox.abort`.
    public func abort() async throws(MessageError) {
      try await box.abort(connection)
    }
  }
#endif
