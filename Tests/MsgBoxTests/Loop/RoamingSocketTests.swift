import MsgBox
import Testing

/// A path through a NAT: a client's datagrams come to the server from a port that the NAT chooses,
/// and may change.
private final class Forwarder {
  private let front: OpenSocketBox
  private var back: OpenSocketBox
  private let server: Address
  private let batch: DatagramBatch
  private var client: Address?

  init(to server: Address) throws {
    self.server = server
    front = OpenSocketBox(try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 1 << 20))
    back = OpenSocketBox(try UDPSocket.connect(to: server, bufferBytes: 1 << 20))
    guard let batch = DatagramBatch() else { throw NothingHappened() }
    self.batch = batch
  }

  var port: UInt16 { front.socket.local.port }
  /// What the server sees.
  var outerPort: UInt16 { back.socket.local.port }

  /// Forgets the mapping: the client gets another port, and nothing reaches it at the one before.
  func rebind() throws {
    back = OpenSocketBox(try UDPSocket.connect(to: server, bufferBytes: 1 << 20))
  }

  /// Carries on what has come, both ways.
  func turn() {
    while let datagrams = receive(front) { send(datagrams, on: back, to: nil) }
    while let datagrams = receive(back) { send(datagrams, on: front, to: client) }
  }

  private func receive(_ socket: OpenSocketBox) -> [[UInt8]]? {
    guard let count = try? batch.receive(from: socket.descriptor), count > 0 else { return nil }
    if socket === front { client = batch.received(0).remote }
    return (0..<count).flatMap { batch.receivedDatagrams($0) }
  }

  private func send(_ datagrams: [[UInt8]], on socket: OpenSocketBox, to remote: Address?) {
    for datagram in datagrams {
      batch.put(datagram, at: 0, to: remote ?? .unspecified)
      // What the system does not take is lost, as anywhere.
      _ = try? batch.send(
        0..<1, on: socket.descriptor, isIPv6: false, isConnected: socket !== front)
    }
  }
}

/// An open socket that a class can hold.
private final class OpenSocketBox {
  let socket: OpenSocket

  init(_ socket: consuming OpenSocket) { self.socket = socket }

  var descriptor: Int32 { socket.descriptor.rawValue }
}

/// Sessions that go on at another port, over real sockets.
@Suite struct RoamingSocketTests {
  private func run(
    _ loops: [TestLoop], _ nat: Forwarder, until isDone: () -> Bool
  ) throws {
    try MsgBoxTests.run(loops) {
      nat.turn()
      return isDone()
    }
  }

  private var options: ConnectionOptions {
    var options = ConnectionOptions()
    options.heartbeat = .milliseconds(50)
    options.getTimeout = .seconds(60)
    options.sharePort = true
    return options
  }

  @Test("Gets and reliable messages pass while the port changes, on a port that boxes share")
  func rebinding() throws {
    let first = try TestLoop()
    let (_, port) = try first.listening(.udp, loopback, options)
    var servers = [first]
    for _ in 0..<2 {
      let loop = try TestLoop()
      _ = loop.listen(Locator(transport: .udp, host: loopback, port: port), options)
      try MsgBoxTests.run([loop]) { loop.count(.listening) == 1 }
      servers.append(loop)
    }
    for server in servers {
      server.react = { loop, seen in
        guard seen.kind == .request else { return }
        #expect(loop.endpoint.answer(seen.bytes.span, to: seen.request, at: loop.now) == .ok)
      }
    }
    let nat = try Forwarder(to: Address(ip: IPAddress(v4: 0x7f00_0001), port: port))
    let client = try TestLoop()
    let up = client.connect(Locator(transport: .udp, host: loopback, port: nat.port), options)
    let all = [client] + servers
    try run(all, nat) {
      client.count(.connectionSetup) == 1
        && servers.contains { $0.count(.connectionReady) == 1 }
    }
    let server = try #require(servers.first { $0.count(.connectionReady) == 1 })
    let down = try #require(server.first(.connectionReady)).handle
    for round in 1...3 {
      let old = nat.outerPort
      try nat.rebind()
      #expect(nat.outerPort != old)
      var reliable = SendOptions()
      reliable.isReliable = true
      let bytes = [UInt8](repeating: UInt8(round), count: 3000)
      #expect(client.get([UInt8(round)], from: up) == .ok)
      #expect(
        server.loop.endpoint.send(bytes.span, to: down, options: reliable, at: server.loop.now)
          == .ok)
      try run(all, nat) { client.count(.reply) == round && client.count(.message) == round }
      #expect(server.loop.endpoint.address(of: down)?.address.port == nat.outerPort)
    }
    #expect(servers.reduce(0) { $0 + $1.count(.connectionReady) } == 1)
    #expect(servers.allSatisfy { $0.count(.connectionLost) == 0 })
    #expect(client.count(.connectionLost) == 0 && client.count(.replyMissing) == 0)
  }
}
