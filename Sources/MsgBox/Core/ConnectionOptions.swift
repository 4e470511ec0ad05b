/// How a connection proves that it lives.
package enum Liveness: UInt8, Sendable {
  /// Heartbeats when nothing else is sent; silence for `lost` is a loss.
  case beat = 0
  /// Silent when idle; lost is judged only while something waits for an answer.
  case onDemand = 1
}

/// How a listener and its connections, or an outgoing connection, behave.
package struct ConnectionOptions: Equatable, Sendable {
  /// At most so long between two packets of ours. 10 s: WireGuard's keepalive.
  package var heartbeat = Interval.seconds(10)
  /// Silence after which a UDP path is probed each second.
  package var suspect = Interval.seconds(15)
  /// Silence after which a connection is lost. 30 s: RFC 7675 5.1.
  package var lost = Interval.seconds(30)
  /// For name, addresses and handshake together.
  package var connectTimeout = Interval.seconds(10)
  package var getTimeout = Interval.seconds(5)
  /// A client that failed or was lost tries again after this, with jitter; zero is never.
  package var reconnectWait = Interval(nanoseconds: 0)
  /// Largest message accepted from the peer; 0 is the transport's default.
  package var maxMessageBytes: UInt32 = 0
  package var sendMarkMessages: UInt32 = 1000
  package var sendMarkBytes: UInt32 = 1_048_576
  /// Of a listener.
  package var maxConnections: UInt32 = 1_000_000
  /// A UDP listener accepts peers that never say hello.
  package var implicitPeers = false
  /// Asked of the kernel for UDP sockets, each way.
  package var socketBufferBytes: UInt32 = 4_194_304

  /// How long a disconnect may take to deliver what was accepted.
  package var closeTimeout = Interval.seconds(5)
  package var liveness = Liveness.beat
  /// At most so long between two packets of ours, in each mode; zero is off. 25 s keeps the
  /// mapping of most NAT gateways.
  package var keepalive = Interval(nanoseconds: 0)
  /// Closed as idle after so many heartbeats of ours in a row without a message either way; 0 is
  /// never.
  package var idleKeepalives: UInt32 = 0
  /// Messages that were received and not taken yet, of a listener's connections together.
  package var receiveMarkMessages: UInt32 = 65_536
  package var receiveMarkBytes: UInt32 = 16_777_216
  /// Of a listener: others of the process may have its port too.
  package var sharePort = false
  /// Of a listener: connections of one source prefix, hellos that wait included; 0 is the default
  /// limit, and none for loopback addresses.
  package var maxPerPrefix: UInt32 = 0

  package init() {}

  /// Whether every field is in its range (msgbox.h, msg_Options).
  package var isValid: Bool {
    let day = Interval.seconds(86400)
    return heartbeat >= .milliseconds(10) && heartbeat <= day
      && lost <= day && lost >= Interval(nanoseconds: heartbeat.nanoseconds * 2 + 1_000_000_000)
      && suspect >= .milliseconds(1) && suspect <= day
      && connectTimeout >= .milliseconds(1) && connectTimeout <= day
      && getTimeout >= .milliseconds(1) && getTimeout <= day
      && reconnectWait <= day
      && maxMessageBytes <= WireFormat.maxMessage
      && sendMarkMessages >= 1 && sendMarkBytes >= 1
      && maxConnections >= 1 && maxConnections <= 1_000_000
      && closeTimeout >= .milliseconds(1) && closeTimeout <= day
      && (keepalive.nanoseconds == 0
        || keepalive >= .seconds(1) && keepalive <= .seconds(65_535))
      && maxPerPrefix <= 1_000_000
      && receiveMarkMessages >= 1 && receiveMarkBytes >= 1
      && socketBufferBytes >= 1 && socketBufferBytes <= 1 << 30
  }
}
