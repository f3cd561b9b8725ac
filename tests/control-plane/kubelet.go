package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// terminationAnnotation is how many milliseconds a deleted pod takes to end;
// its grace period is the most. Without it, a pod ends at once.
const terminationAnnotation = "stanch.dev/test-termination-ms"

// kubelet stands in for the kubelets of all nodes: pods that have a node run,
// deleted ones end. No container is ever started.
type kubelet struct {
	client  kubernetes.Interface
	pods    corelisters.PodLister
	queue   workqueue.TypedRateLimitingInterface[string]
	deleted sync.Map // pod UID: when its deletion was first seen
	lastIP  atomic.Uint32
}

func (a *admin) runKubelet(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(a.client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = "spec.nodeName!=" }))
	pods := factory.Core().V1().Pods()
	k := &kubelet{
		client: a.client,
		pods:   pods.Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](5*time.Millisecond, time.Second)),
	}
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			k.queue.Add(key)
		}
	}
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: func(object any) {
			if pod, ok := object.(*corev1.Pod); ok {
				k.deleted.Delete(pod.UID)
			}
			enqueue(object) // another pod may have the name by now
		},
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	var workers wait.Group
	for range 4 {
		workers.StartWithContext(ctx, k.work)
	}
	<-ctx.Done()
	k.queue.ShutDown()
	workers.Wait()
	return nil
}

func (k *kubelet) work(ctx context.Context) {
	for {
		key, stop := k.queue.Get()
		if stop {
			return
		}
		if again, err := k.sync(ctx, key); err != nil {
			k.queue.AddRateLimited(key)
		} else {
			k.queue.Forget(key)
			if again > 0 {
				k.queue.AddAfter(key, again)
			}
		}
		k.queue.Done(key)
	}
}

// sync brings one pod where it should be, and says when to look again (0: at
// its next change).
func (k *kubelet) sync(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, nil
	}
	pod, err := k.pods.Pods(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	pod = pod.DeepCopy()
	over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed

	switch {
	case pod.DeletionTimestamp != nil:
		seen, _ := k.deleted.LoadOrStore(pod.UID, time.Now())
		if left := termination(pod) - time.Since(seen.(time.Time)); left > 0 {
			return left, nil
		}
		if !over { // the job controller wants to see this before it lets go
			end(pod)
			if err := k.update(ctx, pod); err != nil {
				return 0, err
			}
		}
		now := int64(0)
		err := k.client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{
			GracePeriodSeconds: &now,
			Preconditions:      &metav1.Preconditions{UID: &pod.UID},
		})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or another one
			return 0, nil
		}
		return 0, err
	case over:
		return 0, nil
	case pod.Status.Phase == corev1.PodPending:
		k.begin(pod)
		return 0, k.update(ctx, pod)
	case len(pod.Status.EphemeralContainerStatuses) < len(pod.Spec.EphemeralContainers):
		pod.Status.EphemeralContainerStatuses = nil
		for _, c := range pod.Spec.EphemeralContainers {
			pod.Status.EphemeralContainerStatuses = append(pod.Status.EphemeralContainerStatuses, running(pod, c.Name, c.Image))
		}
		return 0, k.update(ctx, pod)
	}
	return 0, nil
}

func (k *kubelet) update(ctx context.Context, pod *corev1.Pod) error {
	_, err := k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func termination(pod *corev1.Pod) time.Duration {
	ms, _ := strconv.ParseInt(pod.Annotations[terminationAnnotation], 10, 64)
	wanted := time.Duration(ms) * time.Millisecond
	if grace := pod.DeletionGracePeriodSeconds; grace != nil {
		return min(wanted, time.Duration(*grace)*time.Second)
	}
	return wanted
}

// begin makes a pending pod a running, ready one.
func (k *kubelet) begin(pod *corev1.Pod) {
	now := metav1.Now()
	status := &pod.Status
	status.Phase, status.StartTime, status.ObservedGeneration = corev1.PodRunning, &now, pod.Generation
	n := k.lastIP.Add(1)
	status.HostIP = "192.0.2.1"
	status.PodIP = fmt.Sprintf("10.244.%d.%d", n/250%256, n%250+1)
	if pod.Spec.HostNetwork {
		status.PodIP = status.HostIP
	}
	status.HostIPs, status.PodIPs = []corev1.HostIP{{IP: status.HostIP}}, []corev1.PodIP{{IP: status.PodIP}}

	status.InitContainerStatuses, status.ContainerStatuses = nil, nil
	for _, c := range pod.Spec.InitContainers {
		s := running(pod, c.Name, c.Image)
		if c.RestartPolicy == nil { // with one, it is a sidecar: it goes on
			s.Started = new(bool)
			s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: s.ContainerID}}
		}
		status.InitContainerStatuses = append(status.InitContainerStatuses, s)
	}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, running(pod, c.Name, c.Image))
	}
	for _, condition := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReadyToStartContainers,
		corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		setCondition(pod, condition, corev1.ConditionTrue)
	}
}

// end makes a pod one whose containers were killed.
func end(pod *corev1.Pod) {
	now := metav1.Now()
	pod.Status.Phase = corev1.PodFailed
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses,
		pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range statuses {
			if s := &statuses[i]; s.State.Running != nil {
				s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 143, Reason: "Error",
					StartedAt: s.State.Running.StartedAt, FinishedAt: now, ContainerID: s.ContainerID}}
				s.Ready, s.Started = false, new(bool)
			}
		}
	}
	setCondition(pod, corev1.ContainersReady, corev1.ConditionFalse)
	setCondition(pod, corev1.PodReady, corev1.ConditionFalse)
}

// running is the status of a running container. The digest of an image that is
// given by tag is made from its name: always the same one, never a real one.
func running(pod *corev1.Pod, name, image string) corev1.ContainerStatus {
	repository, digest, found := strings.Cut(image, "@")
	if !found {
		digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(image)))
	}
	if colon := strings.LastIndex(repository, ":"); colon > strings.LastIndex(repository, "/") {
		repository = repository[:colon] // without the tag
	}
	started := true
	return corev1.ContainerStatus{
		Name:        name,
		Image:       image,
		ImageID:     repository + "@" + digest,
		ContainerID: fmt.Sprintf("containerd://%x", sha256.Sum256([]byte(string(pod.UID)+name))),
		Ready:       true,
		Started:     &started,
		State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}
}

func setCondition(pod *corev1.Pod, condition corev1.PodConditionType, status corev1.ConditionStatus) {
	pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == condition })
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
		Type: condition, Status: status, LastTransitionTime: metav1.Now(), ObservedGeneration: pod.Generation})
}
