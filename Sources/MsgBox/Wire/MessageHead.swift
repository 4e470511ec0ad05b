/// A packet that carries a message or a fragment of one, but for its payload.
package struct MessageHead: Equatable, Sendable {
  package var kind: PacketKind
  package var replyID: UInt16
  /// Nil leaves the fragment block out; a message of several packets and a reliable one have it.
  package var messageID: UInt32?
  /// Packets of the message, 1...65535.
  package var numPackets: UInt16
  /// The index of this one, below `numPackets`.
  package var packetID: UInt16
  /// Of kind reliable, and of no other. Behind the message id, so it is not written without one.
  package var place: ChannelPlace?

  @inline(__always)
  package init(
    kind: PacketKind, replyID: UInt16 = 0, messageID: UInt32? = nil, numPackets: UInt16 = 1,
    packetID: UInt16 = 0, place: ChannelPlace? = nil
  ) {
    self.kind = kind
    self.replyID = replyID
    self.messageID = messageID
    self.numPackets = numPackets
    self.packetID = packetID
    self.place = place
  }

  /// Bytes between header, session id and length, and the payload.
  @inline(__always)
  package var blockSize: Int {
    guard messageID != nil else { return 0 }
    return place == nil
      ? WireFormat.messageIDSize : WireFormat.messageIDSize + WireFormat.channelPlaceSize
  }

  @inline(__always)
  package func header(adding flags: PacketHeader.Flags) -> PacketHeader {
    PacketHeader(
      kind: kind, flags: messageID == nil ? flags : flags.union(.fragment),
      numPackets: numPackets, packetID: packetID, replyID: replyID)
  }
}
