extension MessageBox {
  /// The context of a connection; nil for one that has ended.
  public func context(of connection: Connection) -> UInt? {
    loop.endpoint.userWords(of: connection.handle)?.context
  }

  /// The context of a listener; nil for one that has ended.
  public func context(of listener: Listener) -> UInt? {
    loop.endpoint.userWords(of: listener.handle)?.context
  }

  /// Replaces the context of a connection.
  ///
  /// - Throws: `badHandle`.
  public func setContext(_ context: UInt, of connection: Connection) throws(MessageError) {
    guard loop.endpoint.setContext(context, of: connection.handle) else {
      throw MessageError(.badHandle)
    }
  }

  /// The local port of a connection, 0 while not known; nil for one that has ended.
  public func localPort(of connection: Connection) -> UInt16? {
    loop.endpoint.localPort(of: connection.handle)
  }

  /// The port that is listened on, 0 while not known; nil for a listener that has ended.
  public func localPort(of listener: Listener) -> UInt16? {
    loop.endpoint.localPort(of: listener.handle)
  }

  /// Counters of the box since it was made, and what it holds.
  public var statistics: Statistics {
    Statistics(loop.endpoint.counters, loop.endpoint.census)
  }

  /// Counters of a connection; nil for one that has ended.
  public func statistics(of connection: Connection) -> ConnectionStatistics? {
    loop.counters(of: connection.handle).map { ConnectionStatistics($0) }
  }

  /// How much was dropped on a connection for one reason; 0 for one that has ended.
  ///
  /// What belongs to no connection counts only in `statistics` of the box.
  public func dropped(_ reason: Statistics.Drop, of connection: Connection) -> UInt64 {
    guard let reason = DropReason(rawValue: reason.rawValue) else { return 0 }
    return loop.endpoint.dropped(reason, of: connection.handle)
  }

  /// The address in ASCII of a peer, or of a listener itself; nil for a bad handle.
  package func addressText(of handle: Handle) -> [UInt8]? {
    guard let (transport, address) = loop.endpoint.address(of: handle) else { return nil }
    return address.text(transport)
  }
}
