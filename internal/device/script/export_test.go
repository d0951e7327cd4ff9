package script

// OwnCgroup tells where scripts get their cgroups.
var OwnCgroup = ownCgroup

// UnderMount finds a cgroup among mounts.
var UnderMount = underMount

// WithoutCgroups has a runner do as where it may make no cgroups.
func WithoutCgroups(r *Runner) { r.kernel.noCgroup = true }

// OldKernel has a runner do as before Linux 5.7.
func OldKernel(r *Runner) { r.kernel.noCgroupStart, r.kernel.noCgroupKill = true, true }
