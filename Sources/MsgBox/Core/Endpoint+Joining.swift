/// The way out of most messages: those of one packet that go behind others, into the datagram or
/// the stream that their connection is filling, with nothing to think of but the marks.
extension Endpoint {
  /// Adds a message to the datagram that its connection is filling. False, and nothing has happened,
  /// if there is more to it.
  @inline(__always)
  mutating func join(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic
  ) -> Bool {
    guard connections[slot].flags.contains(.isReady), packsMessages(slot),
      message.count <= Int(clamping: connections[slot].peerLargest),
      takesMore(traffic, message.count),
      traffic.builder?.join(head, message) == true
    else { return false }
    count(message.count, traffic)
    traffic.builderMessages &+= 1
    traffic.builderBytes &+= message.count
    return true
  }

  /// Writes a small message into the stream of its connection. False, and nothing has happened, if
  /// there is more to it.
  @inline(__always)
  mutating func write(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic
  ) -> Bool {
    guard connections[slot].transport == .tcp, connections[slot].phase == .open,
      !connections[slot].flags.contains(.onDemand), message.count < StreamQueue.ownPiece,
      message.count <= Int(clamping: connections[slot].peerLargest),
      takesMore(traffic, message.count),
      traffic.waiting.isEmpty
    else { return false }
    count(message.count, traffic)
    let socket = connections[slot].socket
    awake(socket).out.append(head, message)
    markStreamReady(socket)
    return true
  }
}
