import MsgBox
import Testing

/// What reliable messages get out of a path of 10 Mbit/s and 100 ms both ways together.
@Suite("Goodput and fairness of reliable messages")
struct GoodputTests {
  private static let seed = UInt64(environmentNumber("MSGBOX_SEED") ?? 1)
  private static let bytes = environmentNumber("MSGBOX_COUNT").map { $0 * 1024 } ?? 16_777_216
  /// Payload bytes of one datagram of a reliable message.
  private static let segment = 1161.0
  private static let roundTrip = 0.1

  private func path(loss: Int) -> LinkConditions {
    var conditions = LinkConditions()
    conditions.latency = .milliseconds(50)
    conditions.loss = loss
    conditions.bandwidth = 10_000_000
    return conditions
  }

  /// Bytes per second that the model of Mathis et al. allows a window that is halved at each loss:
  /// MSS / RTT * sqrt(3/2) / sqrt(p); at most those of the link.
  private func model(loss: Double) -> Double {
    min(Self.segment / Self.roundTrip * 1.5.squareRoot() / loss.squareRoot(), 10_000_000 / 8)
  }

  @Test("16 MiB at 1 % loss take at most what 60 % of the model would", arguments: [false, true])
  func lossyPath(inOneMessage: Bool) throws {
    var options = ConnectionOptions()
    options.maxMessageBytes = 16_777_216
    let pair = try Pair(
      .udp, seed: Self.seed, serverOptions: options, clientOptions: options,
      conditions: path(loss: 10))
    let sender = BulkSender(
      pair.client, pair.up, sender: 1, messageBytes: inOneMessage ? Self.bytes : 65_536,
      limit: Self.bytes)
    let receiver = BulkReceiver(pair.server, [sender.flow])
    let began = pair.simulation.now
    sender.start()
    let limit = Double(Self.bytes) / (0.6 * model(loss: 0.01))
    #expect(
      pair.simulation.run(within: .milliseconds(UInt64(limit * 2000))) {
        sender.flow.bytesReceived >= Self.bytes
      })
    let seconds = Double(pair.simulation.now.since(began).nanoseconds) / 1e9
    #expect(seconds <= limit, "\(seconds) s, \(limit) s allowed")
    #expect(receiver.errors.isEmpty, "\(receiver.errors.prefix(3))")
    #expect(sender.errors.isEmpty, "\(sender.errors.prefix(3))")
    pair.client.onEvent = nil
    pair.server.onEvent = nil
    pair.finish()
    pair.simulation.tearDown()
  }

  /// Who shares the path.
  enum Sharing: CaseIterable {
    /// Two connections between the same hosts.
    case oneHost
    /// Two hosts, whose links meet in one pipe.
    case twoHosts
  }

  @Test(
    "A second flow gets its share: Jain's index is 0.9 or more", arguments: [10, 0],
    Sharing.allCases)
  func shares(loss: Int, sharing: Sharing) throws {
    let simulation = Simulation(seed: Self.seed)
    simulation.conditions = path(loss: loss)
    simulation.conditions.jitter = .milliseconds(1)
    // Without random losses a slower path shows the same with fewer datagrams.
    if loss == 0 { simulation.conditions.bandwidth = 2_000_000 }
    simulation.conditions.queueBytes = 32_768
    let server = simulation.addNode("server")
    let hosts = (0..<(sharing == .oneHost ? 1 : 2)).map { simulation.addNode("client \($0)") }
    if sharing == .twoHosts {
      let pipe = Bottleneck(
        bandwidth: simulation.conditions.bandwidth, queueBytes: simulation.conditions.queueBytes)
      simulation.share(pipe, from: hosts, to: [server])
    }
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    let clients = [hosts[0], hosts[hosts.count - 1]]
    let handles = try clients.map { node in
      let handle = node.connect(.udp, to: server.address(of: listener))
      _ = try #require(node.wait(for: .connectionSetup, of: handle))
      return handle
    }
    let senders = zip(clients, handles).enumerated().map { index, end in
      BulkSender(end.0, end.1, sender: UInt64(index), messageBytes: 8000, limit: .max)
    }
    for host in hosts {
      host.onEvent = { node, event in
        for sender in senders where sender.node === node { sender.take(event) }
      }
    }
    let receiver = BulkReceiver(server, senders.map(\.flow))
    senders[0].start()
    simulation.run(for: .seconds(5))
    senders[1].start()
    simulation.run(for: .seconds(10))
    let before = senders.map(\.flow.bytesReceived)
    simulation.run(for: .seconds(30))
    let got = zip(senders, before).map { Double($0.flow.bytesReceived - $1) }
    let sum = got.reduce(0, +)
    let squares = got.reduce(0) { $0 + $1 * $1 }
    let index = squares > 0 ? sum * sum / (2 * squares) : 0
    #expect(index >= 0.9, "\(got)")
    let link = Double(simulation.conditions.bandwidth) / 8 * 30
    let fair = loss == 0 ? 0.6 * link : 0.6 * 2 * model(loss: 0.01) * 30
    #expect(sum >= min(fair, 0.6 * link), "\(got)")
    #expect(receiver.errors.isEmpty, "\(receiver.errors.prefix(3))")
    #expect(senders.allSatisfy { $0.errors.isEmpty })
    for node in simulation.nodes { node.onEvent = nil }
    for sender in senders { _ = sender.node.abort(sender.handle) }
    finishAll(simulation)
    simulation.tearDown()
  }
}

/// Keeps a connection's queue full of reliable messages in one order.
private final class BulkSender {
  let node: Node
  let handle: Handle
  let flow: Flow
  private let messageBytes: Int
  private let limit: Int
  private var bytes = 0
  private(set) var errors: [String] = []

  init(_ node: Node, _ handle: Handle, sender: UInt64, messageBytes: Int, limit: Int) {
    self.node = node
    self.handle = handle
    self.messageBytes = messageBytes
    self.limit = limit
    flow = Flow(sender: sender)
    node.log.isCountingOnly = true
    node.onEvent = { [unowned self] _, event in take(event) }
  }

  func take(_ event: LoggedEvent) {
    if event.kind == .writable, event.handle == handle { start() }
  }

  /// Sends until the mark is reached.
  func start() {
    while bytes < limit {
      let message = flow.next(channel: 1, count: messageBytes)
      let status = node.sendReliably(message, to: handle, channel: 1)
      guard status == .ok else {
        if status != .wouldBlock { errors.append("a send gives \(status)") }
        return
      }
      flow.accepted(channel: 1, count: messageBytes)
      bytes += messageBytes
    }
  }
}

/// Checks what comes against its flow.
private final class BulkReceiver {
  private let flows: [Flow]
  private(set) var errors: [String] = []

  init(_ node: Node, _ flows: [Flow]) {
    self.flows = flows
    node.log.isCountingOnly = true
    node.onEvent = { [unowned self] _, event in
      guard event.kind == .message else { return }
      guard let content = Content(event.bytes),
        let flow = self.flows.first(where: { $0.sender == content.sender })
      else { return errors.append("a message of nobody") }
      if let error = flow.receive(event.bytes) { errors.append(error) }
    }
  }
}
