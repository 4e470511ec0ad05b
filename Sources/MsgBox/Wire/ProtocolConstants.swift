/// Numbers of the wire format. notes.md has the same tables; a test holds the two against each
/// other.
package enum WireFormat {
  // Specification.

  /// A datagram is never larger: the least IPv6 MTU of 1280 bytes (RFC 8200 5) less IPv6 and UDP
  /// headers and room for a tunnel.
  package static let maxDatagram = 1200
  /// Bits 15 and 14 of message_type, so that a datagram is told from STUN's 00 by its first bits
  /// (RFC 7983 7).
  package static let magic: UInt16 = 0b11
  package static let version: UInt16 = 0

  /// Payload of a lone one-way message: a datagram less header and session id.
  package static let maxLonePayload = maxDatagram - PacketHeader.size - sessionSize
  package static let sessionSize = 8
  package static let lengthSize = 2
  package static let messageIDSize = 4

  /// The first field of a TCP frame: the bytes that follow it.
  package static let frameLengthSize = 4
  /// The largest message that may be allowed, on either transport.
  package static let maxMessage = 67_108_864
  /// What a frame may have besides its message.
  package static let frameOverhead = 64

  // Choices of this implementation.

  /// The largest message that is accepted unless the options say otherwise.
  package static let defaultDatagramLargest = 1_048_576
  package static let defaultStreamLargest = 16_777_216

  /// Less than this is not believed of a peer's `lost_after`, so that no peer can ask for a flood
  /// of heartbeats.
  package static let leastLostAfter: UInt32 = 1000
}
