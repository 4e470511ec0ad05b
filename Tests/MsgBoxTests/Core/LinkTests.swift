import MsgBox
import Testing

@Suite("The network that the tests simulate")
struct LinkTests {
  private let near = Address(ip: IPAddress(v4: 0x0a01_0001), port: 1)
  private let far = Address(ip: IPAddress(v4: 0x0a01_0002), port: 1)

  /// 1000 bytes each on the wire, at 1 Mbit/s: 8 ms.
  private let datagram = [UInt8](repeating: 1, count: 972)

  private func simulate(
    _ change: (inout LinkConditions) -> Void
  ) -> (Simulation, Stranger, Stranger) {
    let simulation = Simulation(seed: 3)
    simulation.changeAll(change)
    return (simulation, simulation.addStranger(at: near), simulation.addStranger(at: far))
  }

  @Test("A link of limited bandwidth takes its time for each datagram")
  func serialisation() {
    let (simulation, sender, receiver) = simulate { $0.bandwidth = 1_000_000 }
    var times: [UInt64] = []
    receiver.onReceive = { _ in times.append(simulation.milliseconds(simulation.now)) }
    for _ in 0..<5 { sender.send(datagram, to: far) }
    simulation.run(for: .seconds(1))
    #expect(times == [18, 26, 34, 42, 50])
    sender.send(datagram, to: far)
    simulation.run(for: .seconds(1))
    #expect(times.last == 1018)
    simulation.tearDown()
  }

  @Test("What finds the queue full is lost; a queue of no room takes one")
  func dropTail() {
    let (simulation, sender, receiver) = simulate {
      $0.bandwidth = 1_000_000
      $0.queueBytes = 4000
    }
    for _ in 0..<20 { sender.send(datagram, to: far) }
    simulation.run(for: .seconds(1))
    #expect(receiver.received.count == 4)
    #expect(simulation.link(from: near.ip, to: far.ip).pipe.drops == 16)
    simulation.changeAll { $0.queueBytes = 0 }
    for _ in 0..<3 { sender.send(datagram, to: far) }
    simulation.run(for: .seconds(1))
    #expect(receiver.received.count == 5)
    simulation.tearDown()
  }

  @Test("Hosts that share a bottleneck have its bandwidth together")
  func shared() throws {
    let simulation = Simulation(seed: 4)
    let hosts = (0..<3).map { simulation.addNode("host \($0)") }
    let bottleneck = Bottleneck(bandwidth: 1_000_000, queueBytes: 100_000)
    simulation.share(bottleneck, from: [hosts[0], hosts[1]], to: [hosts[2]])
    let receiver = simulation.addStranger(at: Address(ip: hosts[2].ip, port: 5))
    let senders = hosts.prefix(2).map {
      simulation.addStranger(at: Address(ip: $0.ip, port: 5))
    }
    for _ in 0..<10 {
      for sender in senders { sender.send(datagram, to: receiver.address) }
    }
    simulation.run(for: .milliseconds(95))
    #expect(receiver.received.count == 10)
    simulation.run(for: .milliseconds(80))
    #expect(receiver.received.count == 20)
    #expect(bottleneck.packets == 20 && bottleneck.bytes == 20_000 && bottleneck.drops == 0)
    simulation.tearDown()
  }

  @Test("A stream takes its time too, and loses nothing")
  func stream() throws {
    let pair = try Pair(.tcp)
    pair.simulation.changeAll {
      $0.bandwidth = 1_000_000
      $0.queueBytes = 2000
    }
    let began = pair.simulation.now
    for _ in 0..<50 { #expect(pair.client.send(datagram, to: pair.up) == .ok) }
    _ = try #require(pair.server.wait(for: .message, count: 50))
    #expect(pair.simulation.now.since(began) >= .milliseconds(390))
    pair.finish()
  }

  @Test("Datagrams for a program that does not receive are lost when the buffer is full")
  func receiveBuffer() throws {
    let pair = try Pair(.udp)
    pair.server.receiveBufferBytes = 10_000
    pair.server.pause()
    for _ in 0..<20 { #expect(pair.client.send(datagram, to: pair.up) == .ok) }
    pair.run(for: .seconds(1))
    #expect(pair.server.receiveBufferDrops == 10)
    pair.server.resume()
    pair.run(for: .seconds(1))
    #expect(pair.server.log.count(.message) == 10)
    #expect(pair.client.send(datagram, to: pair.up) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.count(.message) == 11)
    pair.finish()
  }

  @Test("A content is known by each of its bytes, and a flow by each of its messages")
  func contents() {
    let content = Content(.reliable, channel: 3, sender: 9, sequence: 7, count: 100_000)
    var bytes = content.bytes
    #expect(Content(bytes) == content)
    bytes[70_000] ^= 1
    #expect(Content(bytes) == nil)

    let flow = Flow(sender: 1)
    var messages: [[UInt8]] = []
    for (channel, count) in [(1, 40), (1, 0), (1, 3), (0, 900), (1, 50), (2, 5)] as [(UInt8, Int)] {
      messages.append(flow.next(channel: channel, count: count))
      flow.accepted(channel: channel, count: count)
    }
    #expect(flow.receive(messages[3]) == nil)
    #expect(flow.receive(messages[5]) == nil)
    for message in messages[0...2] { #expect(flow.receive(message) == nil) }
    #expect(flow.receive(messages[3]) != nil, "twice")
    #expect(flow.receive(messages[1]) != nil, "an empty one too many")
    #expect(flow.receive(messages[0]) != nil, "out of order")
    #expect(flow.receive(messages[4]) == nil)
    #expect(flow.receive(messages[4]) != nil, "twice")
  }
}
